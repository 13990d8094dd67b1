"""Training: shaping, losses, packing, the learner and the loop that feeds it.

What needs torch or numpy lives in modules of its own, imported on use: nothing here does.
"""

from ._coldstart import ColdStartConfig as ColdStartConfig
from ._evaluate import EvalConfig as EvalConfig
from ._evaluate import Evaluation as Evaluation
from ._evaluate import Measure as Measure
from ._evaluate import Measured as Measured
from ._evaluate import evaluate as evaluate
from ._loop import Progress as Progress
from ._loop import TrainConfig as TrainConfig
from ._loop import open_training as open_training
from ._loss_config import LossConfig as LossConfig
from ._remote import LearnerDied as LearnerDied
from ._remote import RemoteLearner as RemoteLearner
from ._remote import open_learner as open_learner
from ._schedule import Schedule as Schedule
from ._schedule import learning_rate as learning_rate
from ._shaping import Scored as Scored
from ._shaping import Shaping as Shaping
from ._shaping import group_advantages as group_advantages
from ._shaping import shape as shape
from ._shaping import trajectory_score as trajectory_score
from ._shaping import turn_credits as turn_credits

"""Models behind one verb. Modules that import torch are imported only on use."""

from ._cassette import CassetteModel as CassetteModel
from ._cassette import open_cassette as open_cassette
from ._model import Generation as Generation
from ._model import Model as Model
from ._model import Request as Request
from ._model import Sampling as Sampling
from ._model import WeightSink as WeightSink
from ._scripted import ScriptedModel as ScriptedModel
from ._structured import ask_json as ask_json

"""A run as one HTML file that needs no network."""

from ._archive import BYTES as BYTES
from ._archive import DIALOGUES as DIALOGUES
from ._archive import Archive as Archive
from ._archive import Coverage as Coverage
from ._page import render as render
from ._page import write as write
from ._record import Sample as Sample
from ._record import Spell as Spell
from ._report import Evaluation as Evaluation
from ._report import Headline as Headline
from ._report import Interval as Interval
from ._report import Level as Level
from ._report import Report as Report
from ._report import ScoreRow as ScoreRow
from ._report import ScoreTable as ScoreTable
from ._report import Sheet as Sheet

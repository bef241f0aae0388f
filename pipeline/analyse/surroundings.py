"""What the detection stage goes by besides its detectors' tuning."""

from dataclasses import dataclass, field

from pipeline.analyse.calendar import CalendarParams
from pipeline.analyse.learning import LearningParams
from pipeline.analyse.memory import MemoryParams
from pipeline.analyse.novelty_params import NoveltyParams


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """How the detection stage learns, remembers and looks for novelty.

    Attributes
    ----------
    learning, calendar, memory, novelty
        When learning stops, what people know in advance, when snapshots are taken, what the novelty detectors are for.
    app, version
        Who writes snapshots: ``app_id``, and the version of this Tocsin.

    """

    learning: LearningParams = field(default_factory=LearningParams)
    calendar: CalendarParams = field(default_factory=CalendarParams)
    memory: MemoryParams = field(default_factory=MemoryParams)
    novelty: NoveltyParams = field(default_factory=lambda: NoveltyParams(mode="disabled"))
    app: str = ""
    version: str = ""

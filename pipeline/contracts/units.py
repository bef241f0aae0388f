"""What the numbers of a parameter class may be, and that unknown keys are refused."""

from typing import Annotated

from pydantic import ConfigDict, Field

PARAMS = ConfigDict(extra="forbid", validate_default=True)
"""For every parameter dataclass: unknown keys are refused, defaults are checked too."""
AtLeastZero = Annotated[int, Field(ge=0)]
AtLeastOne = Annotated[int, Field(ge=1)]

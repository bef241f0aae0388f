"""What this Tocsin is set to: config/ and the environment become frozen settings, or every problem is reported at once."""

import dataclasses
import os
from collections.abc import Iterable, Mapping
from dataclasses import field
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from pipeline.act.params import ActParams
from pipeline.act.remediation import RemediationParams
from pipeline.adapters.kafka import Connection
from pipeline.analyse.calendar import CalendarParams
from pipeline.analyse.detection import DetectionParams, Surroundings
from pipeline.analyse.learning import LearningParams
from pipeline.analyse.lifecycle import AlertingParams
from pipeline.analyse.memory import MemoryParams
from pipeline.analyse.novelty_params import NoveltyParams
from pipeline.analyse.profile_params import Profiles
from pipeline.analyse.windows import WindowParams
from pipeline.contracts.config import PARAMS, AtLeastZero, IngestConfig
from pipeline.contracts.directory import Directory
from pipeline.contracts.semantic import SemanticMapping
from pipeline.contracts.topics import Topics
from pipeline.contradictions import contradictions
from pipeline.errors import ConfigError
from pipeline.ingest.decoders.registry import add_plugin
from pipeline.ingest.source import SourceParams

T = TypeVar("T")
VERSION = metadata.version("tocsin")
Profile = Literal["test", "embedded", "local", "production"]


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class WorkerParams:
    """How a worker runs.

    Attributes
    ----------
    app_id
        Prefix of consumer groups (``<app_id>-ingest``) and changelog topics.
    environment
        Of this Tocsin itself (not of what it watches).
    profile
        Timeouts and quirks: ``embedded`` (Tansu), ``local``, ``production``, ``test``.
    embedded_broker
        The broker is Tansu, whatever the profile: its known faults are worked around.
    instance_id
        Static member name within the consumer groups, unique per worker; empty: none. Host name fits in production.
    web_bind, web_port
        Where /metrics, /live and /ready are served; port 0 takes a free one.
    checkpoint_ms
        Least time between two checkpoints of a partition, ms.
    stall_ms
        A partition that has records to read and does not advance for so long makes the worker not live, ms.
    end_stuck_ms
        A worker that stays not live for so long ends with exit code 1, and its supervisor starts it again, ms; 0: it
        waits for whoever watches /live.

    """

    app_id: str = "tocsin"
    environment: str = "default"
    profile: Profile = "local"
    embedded_broker: bool = False
    instance_id: str = ""
    web_bind: str = "127.0.0.1"
    web_port: Annotated[int, Field(ge=0, le=65_535)] = 6067
    checkpoint_ms: AtLeastZero = 1_000
    stall_ms: Annotated[int, Field(ge=1_000)] = 30_000
    end_stuck_ms: AtLeastZero = 60_000


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class Settings:
    """All settings, by the part that they are for; each part documents its own."""

    worker: WorkerParams = field(default_factory=WorkerParams)
    connection: Connection
    topics: Topics
    ingest: IngestConfig
    source: SourceParams
    windows: WindowParams
    detection: DetectionParams
    learning: LearningParams
    memory: MemoryParams
    novelty: NoveltyParams
    calendar: CalendarParams
    alerting: AlertingParams
    directory: Directory
    act: ActParams
    remediation: RemediationParams

    @property
    def app_id(self) -> str:
        """Prefix of consumer groups and changelogs."""
        return self.worker.app_id

    @property
    def environment(self) -> str:
        """Environment of this Tocsin itself."""
        return self.worker.environment

    @property
    def surroundings(self) -> Surroundings:
        """What the detection stage goes by besides its own tuning."""
        return Surroundings(
            learning=self.learning,
            calendar=self.calendar,
            memory=self.memory,
            novelty=self.novelty,
            app=self.app_id,
            version=VERSION,
        )

    @property
    def profile(self) -> Profile:
        """Which set of timeouts is in force."""
        return self.worker.profile


SECTIONS: Mapping[str, tuple[str, str | None, type[Any]]] = {
    # file, section of it (None: the whole file), type
    "worker": ("tocsin.yaml", "worker", WorkerParams),
    "connection": ("tocsin.yaml", "broker", Connection),
    "ingest": ("tocsin.yaml", "ingest", IngestConfig),
    "source": ("tocsin.yaml", "source", SourceParams),
    "semantic": ("semantic.yaml", None, SemanticMapping),
    "windows": ("tocsin.yaml", "windows", WindowParams),
    "topics": ("topics.yaml", None, Topics),
    "directory": ("services.yaml", None, Directory),
    "detection": ("detection.yaml", None, DetectionParams),
    "profiles": ("profiles.yaml", None, Profiles),
    "learning": ("learning.yaml", "learning", LearningParams),
    "memory": ("learning.yaml", "memory", MemoryParams),
    "novelty": ("learning.yaml", "novelty", NoveltyParams),
    "calendar": ("calendar.yaml", None, CalendarParams),
    "alerting": ("alerting.yaml", None, AlertingParams),
    "act": ("remediation.yaml", "act", ActParams),
    "remediation": ("remediation.yaml", "remediation", RemediationParams),
}
PARTS: Mapping[str, str] = {"semantic": "ingest", "profiles": "detection"}
"""Sections in files of their own that are a key of another section, by name of the key."""
COMPUTED: Mapping[str, str] = {"plugins": "ingest"}
"""Keys that Tocsin finds out by itself, and the section that has them."""

ENVIRONMENT: Mapping[str, tuple[str, str]] = {
    "TOCSIN_BROKER": ("connection", "bootstrap"),
    "TOCSIN_SECURITY_PROTOCOL": ("connection", "security_protocol"),
    "TOCSIN_SASL_MECHANISM": ("connection", "sasl_mechanism"),
    "TOCSIN_SASL_USERNAME": ("connection", "sasl_username"),
    "TOCSIN_SASL_PASSWORD_FILE": ("connection", "sasl_password_file"),
    "TOCSIN_CA_FILE": ("connection", "ca_file"),
    "TOCSIN_CERT_FILE": ("connection", "cert_file"),
    "TOCSIN_KEY_FILE": ("connection", "key_file"),
    "TOCSIN_APP_ID": ("worker", "app_id"),
    "TOCSIN_ENVIRONMENT": ("worker", "environment"),
    "TOCSIN_PROFILE": ("worker", "profile"),
    "TOCSIN_EMBEDDED_BROKER": ("worker", "embedded_broker"),
    "TOCSIN_INSTANCE_ID": ("worker", "instance_id"),
    "TOCSIN_WEB_BIND": ("worker", "web_bind"),
    "TOCSIN_WEB_PORT": ("worker", "web_port"),
}
CONFIG_DIR_VARIABLE = "TOCSIN_CONFIG"


def default_config_dir(env: Mapping[str, str] | None = None) -> Path:
    """Return the folder named by TOCSIN_CONFIG, else ./config, else the one beside the package."""
    named = (os.environ if env is None else env).get(CONFIG_DIR_VARIABLE)
    if named:
        return Path(named)
    here = Path("config")
    return here if (here / "tocsin.yaml").is_file() else Path(__file__).parent.parent / "config"


def load_settings(
    config_dir: Path | None = None,
    overrides: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings of a config folder, over which the environment goes, over which ``overrides`` go.

    Parameters
    ----------
    config_dir
        Folder with tocsin.yaml and its siblings; ``None``: see :func:`default_config_dir`.
    overrides
        ``section.key`` to value, such as ``{"connection.bootstrap": "localhost:9092"}``.
    env
        The environment's variables; ``None``: this process's.

    Raises
    ------
    ConfigError
        With every problem of every file, each with file, path, value and rule.

    """
    environ = os.environ if env is None else env
    folder = config_dir or default_config_dir(environ)
    problems: list[str] = []
    files = {name: _read(folder / name, problems) for name in sorted({file for file, _, _ in SECTIONS.values()})}
    problems += _unknown_sections(folder, files)
    given = {variable: environ[variable] for variable in ENVIRONMENT if environ.get(variable)}
    sections: dict[str, Any] = {}
    for setting, (file, section, kind) in SECTIONS.items():
        values: Any = files[file] if section is None else files[file].get(section) or {}
        where = f"{folder / file}" + (f": {section}" if section else "")
        if not isinstance(values, dict):
            problems.append(f"{where}: must be a mapping, got {type(values).__name__}")
            continue
        from_env = {ENVIRONMENT[variable][1]: value for variable, value in given.items() if ENVIRONMENT[variable][0] == setting}
        from_caller = {key.partition(".")[2]: value for key, value in (overrides or {}).items() if key.partition(".")[0] == setting}
        own = {**values, **from_env, **from_caller}
        for key in sorted(not_set_here(setting) & own.keys()):
            problems.append(f"{where}: {key}: {_comes_from(key)}, got {_shown(key, own.pop(key))}")
        built = _build(kind, own, where, problems)
        if built is not None:
            sections[setting] = built
    if not problems:
        plugins = load_plugins(sections["ingest"].decoders.values(), problems)
        sections["ingest"] = dataclasses.replace(sections["ingest"], plugins=plugins)
        for part, whole in PARTS.items():
            sections[whole] = dataclasses.replace(sections[whole], **{part: sections.pop(part)})
        problems += contradictions(sections)
        unknown = [key for key in overrides or {} if key.partition(".")[0] not in SECTIONS]
        problems += [f"--set {key}: there is no setting {key.partition('.')[0]!r}" for key in unknown]
    if problems:
        raise ConfigError(problems)
    return Settings(**sections)


def not_set_here(setting: str) -> set[str]:
    """Return the keys of a section that its own file may not set: another one does, or Tocsin itself."""
    return {key for key, whole in (*PARTS.items(), *COMPUTED.items()) if whole == setting}


def load_plugins(wanted: Iterable[str], problems: list[str]) -> dict[str, str]:
    """Load the decoders that other packages bring (entry points of the group ``tocsin.decoders``), where they are used.

    Parameters
    ----------
    wanted
        Names of decoders.
    problems
        What goes wrong is added to it.

    Returns
    -------
    dict
        Of each decoder loaded, its package and version: they decide what partials hold, so the configuration names them.

    """
    found: dict[str, str] = {}
    installed = {point.name: point for point in metadata.entry_points(group="tocsin.decoders")}
    for name in sorted({*wanted} & installed.keys()):
        point = installed[name]
        origin = "unknown" if point.dist is None else f"{point.dist.name} {point.dist.version}"
        try:
            add_plugin(name, point.load())
        except Exception as problem:  # noqa: BLE001 - another package's code: whatever it raises, the start ends with a sentence
            problems.append(f"tocsin.yaml: ingest: decoders: {name} of package {origin} cannot be loaded: {problem!r}")
            continue
        found[name] = f"{origin}: {point.value}"
    return found


def defaults(kind: type[Any]) -> dict[str, Any]:
    """Return the keys of a parameter class with their defaults, ``"(required)"`` where there is none."""
    found: dict[str, Any] = {}
    for entry in dataclasses.fields(kind):
        if entry.default is not dataclasses.MISSING:
            found[entry.name] = entry.default
        elif entry.default_factory is not dataclasses.MISSING:
            found[entry.name] = entry.default_factory()
        else:
            found[entry.name] = "(required)"
    return found


class _StrictLoader(yaml.SafeLoader):
    """YAML as everybody reads it, but a key that stands twice is refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _read(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        problems.append(f"{path}: no such file")
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        problems.append(f"{path}: {problem}")
        return {}
    if content is None:
        return {}
    if not isinstance(content, dict):
        problems.append(f"{path}: must be a mapping, got {type(content).__name__}")
        return {}
    return content


def _unknown_sections(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> list[str]:
    known: dict[str, set[str]] = {}
    for file, section, _ in SECTIONS.values():
        if section is not None:
            known.setdefault(file, set()).add(section)
    return [
        f"{folder / file}: {section}: unknown section; known are {', '.join(sorted(sections))}"
        for file, sections in known.items()
        for section in files[file]
        if section not in sections
    ]


def _comes_from(key: str) -> str:
    return f"has a file of its own, {SECTIONS[key][0]}" if key in PARTS else "is found out by Tocsin, and cannot be set"


def _build(kind: type[T], values: Mapping[str, Any], where: str, problems: list[str]) -> T | None:
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as refused:
        for problem in refused.errors(include_url=False, include_context=False):
            place = ".".join(str(part) for part in problem["loc"]) or "(section)"
            value = "" if problem["type"] == "missing" else f", got {_shown(place, problem['input'])}"
            problems.append(f"{where}: {place}: {problem['msg']}{value}")
        return None


def _shown(place: str, value: object) -> str:
    if any(word in place.lower() for word in ("password", "secret", "token")):
        return "(not shown)"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."

"""Which log lines are of one kind: a parse tree of fixed depth that is grown line by line (Drain).

P. He, J. Zhu, Z. Zheng, M. R. Lyu: Drain: An Online Log Parsing Approach with Fixed Depth Tree, ICWS 2017. Lines of as many
words that begin alike are compared word by word; a line that is like none of them begins a group of its own.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from models.errors import reading

WILDCARD = "<*>"
Path = tuple[str, ...]


class _Group:
    """Lines of one kind: their words, a wildcard where they differ."""

    __slots__ = ("id", "path", "words")

    def __init__(self, number: int, path: Path, words: list[str]) -> None:
        self.id, self.path, self.words = number, path, words


class Drain:
    """Groups of lines that are the same but for some words.

    Parameters
    ----------
    similarity
        Share of words that must be the same for a line to be of a group, in (0, 1]; what was masked, or differs among the
        group's lines already, counts half.
    depth
        Words at a line's beginning that lines of one group share, at least 0; a word with a digit or a wildcard counts as any.
    max_children
        Different words that are told apart at one place of the beginning, at least 1; further ones count as any.
    max_groups
        Groups kept, at least 1; past it the one met least recently goes.

    Attributes
    ----------
    n_evicted
        Groups that went for want of room.

    Notes
    -----
    Memory: ``max_groups`` times the words of a line. Time: the groups of one leaf, times the words.

    Examples
    --------
    >>> drain = Drain()
    >>> drain.group("user alice logged in"), drain.group("user bob logged in"), drain.group("disk is full")
    (0, 0, 1)
    >>> drain.template(0)
    'user <*> logged in'

    """

    __slots__ = ("_children", "_depth", "_groups", "_leaves", "_max_children", "_max_groups", "_n_ever", "_similarity", "n_evicted")

    def __init__(self, *, similarity: float = 0.55, depth: int = 1, max_children: int = 100, max_groups: int = 500) -> None:
        if not 0 < similarity <= 1 or depth < 0 or max_children < 1 or max_groups < 1:
            raise ValueError("similarity must be in (0, 1], depth at least 0, max_children and max_groups at least 1")
        self._similarity, self._depth = similarity, depth
        self._max_children, self._max_groups = max_children, max_groups
        self._groups: OrderedDict[int, _Group] = OrderedDict()
        """By id, the one met least recently first."""
        self._leaves: dict[Path, list[_Group]] = {}
        self._children: dict[Path, dict[str, int]] = {}
        """By the way there, how many groups are below each word."""
        self._n_ever = 0
        self.n_evicted = 0

    def __len__(self) -> int:
        return len(self._groups)

    def __contains__(self, number: int) -> bool:
        return number in self._groups

    def template(self, number: int) -> str:
        """Return what the lines of a group say, a wildcard where they differ."""
        return " ".join(self._groups[number].words)

    def group(self, line: str, apart: str = "") -> int:
        """Return the number of a line's group, a new one if it is like none; the group becomes what both have in common.

        Parameters
        ----------
        line
            Its words, a space between two.
        apart
            Lines with another of these are of other groups (a severity: one statement of a program has one).

        """
        words = line.split(" ")
        path = self._path(words, apart)
        best = self._best(self._leaves.get(path, ()), words)
        if best is None:
            return self._begun(path, words)
        if best.words != words:
            best.words = [known if known == word else WILDCARD for known, word in zip(best.words, words, strict=True)]
        self._groups.move_to_end(best.id)
        return best.id

    def _path(self, words: Sequence[str], apart: str) -> Path:
        """Return the leaf of a line: how many words it has, and those that it begins with."""
        path: Path = (f"{len(words)}{apart}",)
        for word in words[: min(self._depth, len(words) - 1)]:
            known = self._children.get(path, {})
            is_any = WILDCARD in word or (word not in known and len(known) >= self._max_children)
            path = (*path, WILDCARD if is_any else word)
        return path

    def _best(self, groups: Sequence[_Group], words: Sequence[str]) -> _Group | None:
        """Return the group that is most alike, enough so; of equals the oldest."""
        best, most = None, self._similarity
        for group in groups:
            alike = _alike(group.words, words)
            if alike > most or (alike == most and (best is None or group.id < best.id)):
                best, most = group, alike
        return best

    def _begun(self, path: Path, words: list[str]) -> int:
        while len(self._groups) >= self._max_groups:
            self._forget(next(iter(self._groups)))
            self.n_evicted += 1
        return self._put(self._n_ever, path, words)

    def _put(self, number: int, path: Path, words: list[str]) -> int:
        group = self._groups[number] = _Group(number, path, words)
        self._n_ever = max(self._n_ever, number + 1)
        self._leaves.setdefault(path, []).append(group)
        for i in range(1, len(path)):
            below = self._children.setdefault(path[:i], {})
            below[path[i]] = below.get(path[i], 0) + 1
        return number

    def _forget(self, number: int) -> None:
        group = self._groups.pop(number)
        path = group.path
        leaf = self._leaves[path]
        leaf.remove(group)
        if not leaf:
            del self._leaves[path]
        for i in range(1, len(path)):
            below = self._children[path[:i]]
            below[path[i]] -= 1
            if not below[path[i]]:
                del below[path[i]]
            if not below:
                del self._children[path[:i]]

    def to_state(self) -> dict[str, Any]:
        """Return plain, versioned data; groups in the order in which they were met."""
        return {
            "kind": "drain",
            "v": 1,
            "n_ever": self._n_ever,
            "n_evicted": self.n_evicted,
            "groups": [[group.id, list(group.path), " ".join(group.words)] for group in self._groups.values()],
        }

    def from_state(self, state: Mapping[str, Any]) -> "Drain":
        """Take plain data over.

        Raises
        ------
        ModelStateError
            If it is of another version, or incomplete.

        """
        with reading(state, "drain", 1):
            for number, path, line in state["groups"]:
                words = str(line).split(" ")
                if not str(path[0]).startswith(str(len(words))):
                    raise ValueError(f"a line of {len(words)} words stands under {path[0]!r}")
                self._put(int(number), tuple(str(word) for word in path), words)
            self._n_ever, self.n_evicted = int(state["n_ever"]), int(state["n_evicted"])
        return self


def _alike(known: Sequence[str], words: Sequence[str]) -> float:
    """Return how alike a group and a line of as many words are, in [0, 1]."""
    if known == words:
        return 1.0
    same = 0.0
    for one, other in zip(known, words, strict=True):
        if one == WILDCARD:
            same += 0.5
        elif one == other:
            same += 1.0
    return same / len(words)

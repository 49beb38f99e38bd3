"""Files and trees out of a point into a directory: complete where that is safe, named where not.

Owns what is restored of a file and in which order. Writes through `base.beneath` only, so nothing
lands outside the target. Without privilege no device is made and no right is handed out that the
backup claims: setuid and setgid bits, capabilities, trusted attributes.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from appliance.base.beneath import Folder, settle
from appliance.base.durable import named_os_errors
from appliance.base.errors import IntegrityError, UsageError
from appliance.base.progress import Progress
from appliance.base.text import printable
from appliance.browse.node import Node
from appliance.browse.tree import Entry, Tree
from appliance.browse.walk import Step, walk

# Gaps kept for the result; every one is told as it is found.
GAPS_KEPT = 10_000
_RIGHTS = stat.S_ISUID | stat.S_ISGID
_FATAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE)


@dataclass
class Fetched:
    """What was restored. `gaps` are (path, reason), the first ones of `gap_count`.

    `volumes` are those that it came from.
    """

    files: int = 0
    directories: int = 0
    others: int = 0
    size_bytes: int = 0
    volumes: set[int] = field(default_factory=set)
    gap_count: int = 0
    gaps: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class _Level:
    folder: Folder
    names: list[str]


class Fetch:
    """One restore of files of one tree."""

    def __init__(
        self,
        tree: Tree,
        target: Folder,
        progress: Progress,
        *,
        is_privileged: bool = False,
        replaces: bool = False,
        on_gap: Callable[[str, str], None] | None = None,
    ) -> None:
        self._tree = tree
        self._target = target
        self._progress = progress
        self._is_privileged = is_privileged
        self._replaces = replaces
        self._on_gap = on_gap
        self._is_root = os.geteuid() == 0
        self._done = Fetched()
        self._linked: dict[tuple[int, int], list[str]] = {}

    def run(self, paths: list[str]) -> Fetched:
        """Restore each path under its own name; of `/` what is in it. Durable on return.

        Raises UsageError if a name is taken and may not be replaced, before anything is written;
        NotFoundError for a path that is not there; NoSpaceError when the target is full.
        """
        found = [self._tree.find(path, is_followed=False) for path in paths]
        self._refuse_taken(found)
        self._done.volumes = {entry.volume for _, entry in found}
        self._progress.phase("fetching", self._known_size(found))
        try:
            for path, entry in found:
                self._fetch(path, entry)
        finally:
            settle()
        return self._done

    def _known_size(self, found: list[tuple[str, Entry]]) -> int | None:
        nodes = [entry.node for _, entry in found]
        if any(node is None or node.is_directory for node in nodes):
            return None
        return sum(node.size_bytes for node in nodes if node is not None)

    def _refuse_taken(self, found: list[tuple[str, Entry]]) -> None:
        wanted: dict[str, str] = {}
        for path, entry in found:
            names = [entry.name] if entry.name else [below.name for below in self._tree.list(entry)]
            for name in names:
                other = wanted.setdefault(name, path)
                if other != path:
                    raise UsageError(f"{path} and {other} have one name: fetch one at a time")
                if not self._replaces and _is_taken(self._target, name):
                    raise UsageError(
                        f"{printable(name)} is in the target already: say --force to replace it"
                    )

    def _fetch(self, path: str, entry: Entry) -> None:
        levels: list[_Level] = []
        try:
            for step in walk(self._tree, path, entry, self._gap):
                self._progress.check()
                if step.is_end:
                    with levels.pop().folder as folder:
                        if step.entry.name:
                            self._settle_directory(step, folder)
                    continue
                above = levels[-1] if levels else _Level(self._target, [])
                below = self._put(step, above)
                if below is not None:
                    levels.append(below)
        finally:
            for level in levels:
                level.folder.close()

    def _put(self, step: Step, above: _Level) -> _Level | None:
        """Restore one entry; gives the level below for a directory that is entered."""
        node = step.entry.node
        assert node is not None
        try:
            if node.is_directory:
                return self._enter(step, above)
            if step.entry.trouble:
                self._gap(step.path, step.entry.trouble)
            if not node.is_link or step.entry.link is not None:
                self._put_file(step, node, above)
        except IntegrityError as error:
            step.is_skipped = True
            self._gap(step.path, str(error))
        except OSError as error:
            if error.errno in _FATAL:
                with named_os_errors(printable(step.path)):
                    raise
            step.is_skipped = True
            self._gap(step.path, error.strerror or str(error))
        return None

    # ---- directories ----

    def _enter(self, step: Step, above: _Level) -> _Level:
        name = step.entry.name
        if not name:  # the root: its content goes into the target itself
            return _Level(Folder(os.dup(above.folder.descriptor)), [])
        kind = above.folder.kind_of(name)
        if kind is not None and self._replaces and stat.S_ISDIR(kind):
            folder = above.folder.enter(name)
        else:
            folder = above.folder.make(name)
        self._done.directories += 1
        return _Level(folder, [*above.names, name])

    def _settle_directory(self, step: Step, folder: Folder) -> None:
        node = step.entry.node
        assert node is not None
        try:
            self._dress(step, node, folder.descriptor)
        except OSError as error:
            self._gap(step.path, error.strerror or str(error))
        if step.entry.trouble:
            self._gap(step.path, step.entry.trouble)

    # ---- everything else ----

    def _put_file(self, step: Step, node: Node, above: _Level) -> None:
        folder, name = above.folder, step.entry.name
        identity = (step.entry.volume, step.entry.number)
        names = self._linked.get(identity)
        if names is not None:
            with self._target.walk(names[:-1]) as first:
                temporary = folder.start_hard_link(first, names[-1])
        elif node.is_file:
            temporary = self._start_file(step, node, folder)
        elif node.is_link:
            temporary = folder.start_link(str(step.entry.link))
            self._dress_link(node, folder, temporary)
        else:
            temporary = self._start_node(step, node, folder)
        if temporary:
            try:
                folder.finish(temporary, name, replace=self._replaces)
            except BaseException:
                folder.discard(temporary)
                raise
            if node.links > 1:
                self._linked[identity] = [*above.names, name]
            self._done.files += node.is_file
            self._done.others += not node.is_file

    def _start_file(self, step: Step, node: Node, folder: Folder) -> str:
        temporary, descriptor = folder.start()
        written = 0

        def write(offset: int, data: bytes) -> None:
            nonlocal written
            view = memoryview(data)
            while view:
                count = os.pwrite(descriptor, view, offset)
                offset, view = offset + count, view[count:]
            written += len(data)
            self._progress.advance(len(data))

        try:
            try:
                self._tree.copy(step.entry, write)
                os.ftruncate(descriptor, node.size_bytes)
                self._dress(step, node, descriptor)
            finally:
                os.close(descriptor)
        except BaseException:
            folder.discard(temporary)
            raise
        self._done.size_bytes += written
        return temporary

    def _start_node(self, step: Step, node: Node, folder: Folder) -> str:
        is_device = stat.S_ISBLK(node.mode) or stat.S_ISCHR(node.mode)
        if is_device and not self._is_privileged:
            self._gap(step.path, f"is a {node.kind}: --privileged makes those")
            return ""
        if not (is_device or stat.S_ISFIFO(node.mode) or stat.S_ISSOCK(node.mode)):
            self._gap(step.path, "is of no known kind")
            return ""
        device = os.makedev(*node.device) if node.device is not None else 0
        temporary = folder.start_node(stat.S_IFMT(node.mode) | 0o600, device)
        self._dress_link(node, folder, temporary)
        os.chmod(temporary, self._mode(step, node), dir_fd=folder.descriptor)
        return temporary

    # ---- owner, mode, attributes, times ----

    def _dress_link(self, node: Node, folder: Folder, name: str) -> None:
        if self._is_root:
            os.chown(name, node.uid, node.gid, dir_fd=folder.descriptor, follow_symlinks=False)
        times = (node.atime_ns, node.mtime_ns)
        os.utime(name, ns=times, dir_fd=folder.descriptor, follow_symlinks=False)

    def _dress(self, step: Step, node: Node, descriptor: int) -> None:
        """Owner first, because that takes rights away; times last, because all else sets them."""
        if self._is_root:
            os.fchown(descriptor, node.uid, node.gid)
        os.fchmod(descriptor, self._mode(step, node))
        for name, value in self._attributes(step):
            try:
                os.setxattr(descriptor, name, value)
            except OSError as error:
                if error.errno in _FATAL:
                    raise
                self._gap(step.path, f"without attribute {name}: {error.strerror}")
        os.utime(descriptor, ns=(node.atime_ns, node.mtime_ns))

    def _mode(self, step: Step, node: Node) -> int:
        mode = stat.S_IMODE(node.mode)
        if mode & _RIGHTS and not self._is_privileged:
            word = "setuid" if mode & stat.S_ISUID else "setgid"
            self._gap(step.path, f"restored without its {word} bit: --privileged keeps it")
            mode &= ~_RIGHTS
        return mode

    def _attributes(self, step: Step) -> Iterator[tuple[str, bytes]]:
        for name, value in sorted(step.entry.attributes.items()):
            is_open = name.startswith(("user.", "system.posix_acl_"))
            if is_open or (self._is_privileged and name.startswith(("security.", "trusted."))):
                yield name, value
            elif name != "security.selinux":  # a label of the machine's policy, not of the file
                self._gap(step.path, f"restored without attribute {name}: --privileged keeps it")

    def _gap(self, path: str, reason: str) -> None:
        self._done.gap_count += 1
        if len(self._done.gaps) < GAPS_KEPT:
            self._done.gaps.append((path, reason))
        if self._on_gap is not None:
            self._on_gap(path, reason)


def _is_taken(folder: Folder, name: str) -> bool:
    try:
        return folder.kind_of(name) is not None
    except (OSError, UsageError):
        return False  # no name for a file: told when it is met

"""Who is reachable under which name. Actors hold names, never one another."""

from collections.abc import Iterator, Sequence

from runtime.ref import Ref


class Directory:
    """Name -> ref. Every tell by name looks into `refs`, so that is the bare mapping."""

    def __init__(self) -> None:
        self.refs: dict[str, Ref] = {}

    def get(self, name: str) -> Ref | None:
        """Return the ref of `name`, or None when nobody has that name."""
        return self.refs.get(name)

    def remove(self, ref: Ref) -> None:
        """Forget the name."""
        self.refs.pop(ref.name, None)

    def find(self, prefix: str) -> Sequence[str]:
        """Return the names that begin with `prefix`, sorted. Slow: looks at all of them."""
        return sorted(name for name in self.refs if name.startswith(prefix))

    def __iter__(self) -> Iterator[Ref]:
        return iter(self.refs.values())

    def __len__(self) -> int:
        return len(self.refs)

    def __contains__(self, name: object) -> bool:
        return name in self.refs

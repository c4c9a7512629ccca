"""What ends a start or a command: a refusal that nobody further out could answer better."""

from domain.errors import Refusal


class StartError(Exception):
    """The daemon cannot start, or a command cannot run. `refusal` says why and what would help."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal

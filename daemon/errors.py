"""What ends a start or a command: a refusal that nobody further out could answer better."""

from domain.errors import Refusal


class StartError(Exception):
    """The daemon cannot start, or a command cannot run. `refusal` says why and what would help."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


def named(error: Exception, remedy: str = "") -> Refusal:
    """Return an error's own words, under a code made of its name: ALREADY_RUNNING."""
    name = type(error).__name__.removesuffix("Error")
    rule = "".join("_" + letter if letter.isupper() else letter.upper() for letter in name)
    return Refusal(rule.strip("_"), str(error), remedy)

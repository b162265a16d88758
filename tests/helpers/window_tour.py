"""The whole program, and a person who looks at everything that needs no network.

    python window_tour.py BASE_DIR

Loads the demo, asks it something, looks through the library, plans another checkpoint until
llama.cpp itself has checked the plan, and visits every page. It ends with 1 when a step is
impossible; what was come to is told as in ``new_user.py``.
"""

from __future__ import annotations

import sys
from pathlib import Path

REPO_ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(REPO_ROOT), str(REPO_ROOT / "tests")]

from app import application  # noqa: E402
from app.actions.plan_status import PlanState  # noqa: E402
from app.views.chat_page import ChatPage  # noqa: E402
from app.views.main_window import CHAT, MODELS, MONITOR, PLAN, SERVER, SETTINGS  # noqa: E402
from helpers.new_user import Person, Steps  # noqa: E402
from models.planner.wishes import Wishes  # noqa: E402

QUESTION = "Say hello."
TINY = "v2-tiny"


def tour(person: Person) -> Steps:
    """Go everywhere."""
    program = person.program
    loader, chat, plan = program.loader, program.chat, program.planning.plan
    yield lambda: loader.status.is_ready
    page = program.window.page(CHAT)
    assert isinstance(page, ChatPage)
    yield lambda: person.sees(page.composer.field)
    person.click(page.composer.field)
    person.type(f"{QUESTION}\r")
    yield lambda: chat.live is not None
    yield lambda: chat.live is None or len(page.transcript.turn_ids) == 2
    if chat.live is not None:
        person.click(page.composer.send_button)
    yield lambda: chat.live is None
    person.tell("answer", messages=len(page.transcript.turn_ids))
    yield from person.go_to(MODELS, "library")
    models = person.models_page()
    entry = next(one for one in loader.entries if one.name == TINY)
    # It is shown where the mouse is.
    models.row(entry).plan_button.click()
    yield lambda: program.window.current_page == PLAN and plan.status.state is PlanState.EXACT
    plan.set_wishes(Wishes(n_ctx=640))
    yield lambda: plan.status.wishes.n_ctx == 640 and plan.status.state is PlanState.EXACT
    person.tell("plan", n_ctx=plan.status.plan.settings.n_ctx)
    for place in (MONITOR, SERVER, SETTINGS):
        yield from person.go_to(place)
    person.tell("end")
    program.window.close()


def main(base_dir: Path) -> int:
    """Run the program with a person on a tour; return its exit code."""

    class Visited(application.Fathom):
        def start(self) -> None:
            super().start()
            self._person = Person(self, tour)

    application.Fathom = Visited  # type: ignore[misc]
    return application.run_gui(application.GuiOptions(base_dir=base_dir, model="demo"))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

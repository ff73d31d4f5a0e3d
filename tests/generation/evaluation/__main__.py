"""How much of the evaluation set passes, replayed from its recorded answers or asked of a model.

APOTHIC_LIV_MODEL=NAME APOTHIC_LIV_API_KEY=KEY python -m tests.generation.evaluation --ask
"""

from __future__ import annotations

import argparse
import sys

from apothic_backends.model.errors import UsageError
from tests.generation.evaluation.cases import all_cases
from tests.generation.evaluation.runs import outcome_of, replayed, report


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.generation.evaluation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", help="only these functions")
    parser.add_argument("--ask", action="store_true", help="ask the model of the environment")
    options = parser.parse_args()
    cases = [case for case in all_cases() if not options.names or case.name in options.names]
    with replayed() as recorded:
        try:
            outcomes = [outcome_of(case, {} if options.ask else recorded(case)) for case in cases]
        except UsageError as error:
            sys.exit(error.message)
    sys.stdout.write(f"{report(outcomes)}\n")
    sys.exit(any(outcome.wrong for outcome in outcomes))


if __name__ == "__main__":
    main()

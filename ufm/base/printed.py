"""Printed: what shows itself as the table that rich draws of it."""

import html
import io
from typing import ClassVar


class Printed:
    """A base of reports, which have `__rich__`: what rich shows of them, as plain text of at most so many columns."""

    columns_of_text: ClassVar[int] = 150

    def __str__(self) -> str:
        from rich.console import Console

        page = io.StringIO()
        Console(file=page, width=self.columns_of_text).print(self)
        return page.getvalue()

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"

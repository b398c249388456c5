"""Options of `burnish serve`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field


class ServeOptions(BaseModel, frozen=True, extra="forbid"):
    """Show a project in the browser: jobs as they run, results, maps and models."""

    project: Path = Field(Path(), description="Folder of the project.")
    host: str = Field("127.0.0.1", description="Address to listen on; others than this one let the network in.")
    port: int = Field(8377, ge=1, le=65485, description="Port; the next free one where it is taken.")
    token: str | None = Field(None, min_length=16, description="Secret of the address; drawn anew if not given.")

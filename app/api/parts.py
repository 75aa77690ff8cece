"""What one component or volume of a backup looks like in an answer."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from app.archive.parts import PartKind, PartOutcome, PartResult


class FaultModel(BaseModel):
    """Say why something failed or was skipped."""

    model_config = ConfigDict(from_attributes=True)

    code: Annotated[str, Field(description="Stable name of the kind of failure.")]
    message: Annotated[str, Field(description="What happened.")]
    hint: Annotated[str, Field(description="What to do about it.")]


class PartModel(BaseModel):
    """Describe how one component (files of the cell) or volume (data of a container) came out."""

    kind: PartKind
    name: Annotated[str, Field(description="Name of the component, or of the volume within its service.")]
    service: Annotated[str | None, Field(description="Volumes only: the service it belongs to.")] = None
    container: Annotated[str | None, Field(description="Volumes only: the container it was read from.")] = None
    path: Annotated[str | None, Field(description="Volumes only: the directory in the container.")] = None
    image: str | None = None
    digest: str | None = None
    outcome: PartOutcome
    files: int = 0
    bytes: Annotated[int, Field(description="Bytes of file contents.")] = 0
    seconds: float = 0.0
    way: Annotated[
        str | None, Field(description="Volumes only: `exec` (tar in the container) or `archive` (the engine).")
    ] = None
    exit_code: Annotated[int | None, Field(description="Volumes only: how tar in the container ended.")] = None
    warnings: list[str] = []
    damaged: Annotated[list[str], Field(description="Members that were cut and must not be trusted.")] = []
    error: FaultModel | None = None

    @classmethod
    def of(cls, result: PartResult) -> "PartModel":
        """Show one part's result."""
        part = result.part
        return cls(
            kind=part.kind,
            name=part.name,
            service=part.service,
            container=part.container,
            path=part.path,
            image=part.image,
            digest=part.digest,
            outcome=result.outcome,
            files=result.files,
            bytes=result.bytes,
            seconds=result.seconds,
            way=result.way,
            exit_code=result.exit_code,
            warnings=list(result.warnings),
            damaged=list(result.damaged),
            error=None if result.error is None else FaultModel.model_validate(result.error),
        )

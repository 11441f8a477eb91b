"""`POST /api/v1/predict`: the personal data in one text."""

import asyncio
import logging
from collections import Counter
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from api.privacy.dependencies import AuthorizedRoute, ClientOf, InferenceOf, SettingsOf
from api.privacy.findings import redact
from api.privacy.inference import RETRY_AFTER
from api.privacy.metrics import INFERENCE_DURATION, MODEL_ERRORS, PII_DETECTED
from api.privacy.scanner import Piece, locate, scan
from api.privacy.turns import take
from api.problem import ProblemError, invalid
from api.problem_answers import error_responses
from api.settings import Settings

PATH = "/api/v1/predict"
TEXT = "Mail anna@example.com"


def _well_formed(text: str) -> str:
    # JSON can spell half a surrogate pair; no encoding, hence no tokenizer, can take it.
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("unicode", "Text should have no unpaired surrogates") from None
    return text


def _by_setting(schema: dict[str, Any]) -> None:
    del schema["default"]  # an installation's settings decide, which the schema does not know


class PredictRequest(BaseModel):
    """A text and how to look at it."""

    model_config = ConfigDict(
        strict=True, extra="forbid", json_schema_extra={"examples": [{"text": TEXT, "min_confidence": 0.35}]}
    )

    text: Annotated[str, AfterValidator(_well_formed)] = Field(
        description="What to search; at most `MAX_TEXT_LENGTH` characters (default 100000)."
    )
    language: str = Field("en", max_length=16, description="A language the model has, as an ISO 639-1 code.")
    min_confidence: float = Field(
        0.35,
        ge=0,
        le=1,
        allow_inf_nan=False,
        json_schema_extra=_by_setting,
        description="Leave out findings below it; unset, `MIN_CONFIDENCE` says (0.35).",
    )
    anonymize: bool = Field(
        True,
        json_schema_extra=_by_setting,
        description="Also give the text with every finding replaced by its type; unset, `ANONYMIZE` says (true).",
    )

    def or_setting(self, name: str, settings: Settings) -> Any:
        """Return what was asked for, else what a setting of the same name says."""
        return getattr(self if name in self.model_fields_set else settings, name)


class Entity(BaseModel):
    """Characters `start` up to `end` of the text are personal data. Entities are sorted and do not overlap."""

    type: str = Field(description="What kind, as Presidio names it.")
    start: int = Field(ge=0)
    end: int = Field(ge=1)
    score: float = Field(ge=0, le=1, description="Confidence.")


class ModelInfo(BaseModel):
    """Which model answered."""

    name: str
    version: str


class PredictResponse(BaseModel):
    """What was found."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "entities": [{"type": "EMAIL_ADDRESS", "start": 5, "end": 21, "score": 1.0}],
                    "redacted": "Mail [EMAIL_ADDRESS]",
                    "model": {"name": "presidio-patterns", "version": "2.2.366"},
                }
            ]
        }
    )

    entities: list[Entity]
    redacted: str | None = Field(description="The text, each entity replaced by `[TYPE]`; null without `anonymize`.")
    model: ModelInfo


def body_limit(settings: Settings) -> int:
    """Give the bytes of the longest body with a text of allowed length: JSON can escape a character in 12."""
    return min(12 * settings.max_text_length + 4096, settings.max_request_size_bytes)


logger = logging.getLogger(__name__)
router = APIRouter(tags=["privacy"], route_class=AuthorizedRoute)


@router.post(
    PATH,
    response_model=PredictResponse,
    response_description="What was found",
    summary="Find and redact personal data in a text",
    responses=error_responses(400, 401, 413, 422, 429, 500, 503, 507),
)
async def predict(
    body: PredictRequest,
    settings: SettingsOf,
    inference: InferenceOf,
    client: ClientOf,
) -> PredictResponse:
    """Find personal data in one text. Positions count Unicode characters (code points)."""
    model = await inference.model(client)
    if len(body.text) > settings.max_text_length:
        raise invalid("/text", f"Text should have at most {settings.max_text_length} characters")
    if body.language not in model.languages:
        raise invalid("/language", f"Input should be one of: {', '.join(model.languages)}")
    find = partial(model.find, language=body.language, min_confidence=body.or_setting("min_confidence", settings))
    with inference.work(inference.texts, client) as work:
        steps = scan(body.text, find)
        pieces: list[Piece] = []
        try:
            async with asyncio.timeout(settings.inference_timeout):
                while await work.step(partial(take, steps, pieces.append)):
                    pass
        except TimeoutError:
            MODEL_ERRORS.inc()
            logger.error("the text took too long")
            raise ProblemError(503, "The text took too long", headers=RETRY_AFTER) from None
    INFERENCE_DURATION.observe(work.seconds)
    entities = [
        Entity(type=finding.type, start=finding.start, end=finding.end, score=finding.score)
        for finding in locate(pieces)
    ]
    found = Counter(entity.type for entity in entities)
    for entity_type, count in found.items():
        PII_DETECTED.labels(entity_type).inc(count)
    logger.info("text searched", extra={"findings": dict(found)})
    redacted = "".join(redact(*piece) for piece in pieces) if body.or_setting("anonymize", settings) else None
    return PredictResponse(
        entities=entities, redacted=redacted, model=ModelInfo(name=model.name, version=model.version)
    )

"""What schemathesis is told on top of the OpenAPI description: NDJSON is sent as the text it is."""

import schemathesis

schemathesis.serializer.alias("application/x-ndjson", "text/plain")

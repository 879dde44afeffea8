// Package docs embeds the descriptions of the interfaces, which every process serves.
package docs

import _ "embed"

// OpenAPI is the description of the HTTP API, as GET /v1/openapi.json answers it.
//
//go:embed openapi.json
var OpenAPI []byte

// AsyncAPI is the description of the events, as GET /v1/asyncapi.json answers it.
//
//go:embed asyncapi.json
var AsyncAPI []byte

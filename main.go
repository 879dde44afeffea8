// Command stega is the single binary of the suite.
package main

import (
 _ "github.com/spf13/cobra"
 _ "github.com/rabbitmq/amqp091-go"
 _ "github.com/labstack/echo/v4"
 _ "github.com/uptrace/bun"
 _ "github.com/uptrace/bun/dialect/pgdialect"
 _ "github.com/uptrace/bun/dialect/sqlitedialect"
 _ "github.com/uptrace/bun/migrate"
 _ "modernc.org/sqlite"
 _ "github.com/jackc/pgx/v5/stdlib"
 _ "github.com/nats-io/nats-server/v2/server"
 _ "github.com/nats-io/nats.go"
 _ "github.com/google/uuid"
 _ "github.com/shopspring/decimal"
 _ "github.com/prometheus/client_golang/prometheus"
 _ "go.opentelemetry.io/otel"
 _ "go.opentelemetry.io/contrib/exporters/autoexport"
 _ "golang.org/x/sync/errgroup"
 _ "golang.org/x/time/rate"
 _ "github.com/hashicorp/go-retryablehttp"
 _ "github.com/testcontainers/testcontainers-go"
 _ "github.com/testcontainers/testcontainers-go/modules/rabbitmq"
 _ "github.com/testcontainers/testcontainers-go/modules/postgres"
 _ "go.uber.org/goleak"
 _ "github.com/stretchr/testify/require"
 _ "github.com/rogpeppe/go-internal/testscript"
 _ "github.com/invopop/jsonschema"
 _ "github.com/santhosh-tekuri/jsonschema/v6"
)

func main() {}

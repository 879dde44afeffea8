# The program is built with the toolchain's image and shipped alone: no shell, no package manager, no root.
FROM golang:1.26 AS build
WORKDIR /src
ARG GOPROXY GOFLAGS
ENV CGO_ENABLED=0
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN --mount=type=cache,target=/root/.cache/go-build go build -trimpath -ldflags="-s -w" -o /out/stega . && mkdir -m 1777 /out/tmp && mkdir -m 700 /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/stega /stega
COPY --from=build /out/tmp /tmp
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
EXPOSE 8420
ENTRYPOINT ["/stega"]
CMD ["--help"]

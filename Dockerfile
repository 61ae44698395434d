# The server in a container without a shell: one program, the C library, and the certificates of public authorities.
#
#   docker build --tag meshwire-server .
#   docker run --publish 127.0.0.1:4200:4200 --volume meshwire:/data \
#       --env MESHWIRE_PUBLIC_URL=https://mesh.example.com meshwire-server
#
# It listens on all addresses of the container, and so wants the https URL of a TLS proxy. infra/README.md goes on
# from here.

# The same Debian in both stages: the program is linked against the C library of the first, and runs on that of the
# second.
FROM rust:1.95-slim-trixie AS build
WORKDIR /src

# Dependencies first, with an empty program in place of ours: this layer is made again only when they change.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY protocol/Cargo.toml protocol/
COPY server/Cargo.toml server/
COPY cli/Cargo.toml cli/
RUN mkdir protocol/src server/src cli/src \
    && touch protocol/src/lib.rs server/src/lib.rs \
    && echo 'fn main() {}' > server/src/main.rs \
    && echo 'fn main() {}' > cli/src/main.rs \
    && cargo build --release --locked --package meshwire-server

# Then our own. COPY keeps the age of files, and cargo would take the empty program for the newer one: touch them.
COPY protocol protocol
COPY server server
COPY migrations migrations
COPY web web
RUN find protocol server migrations web -type f -exec touch {} + \
    && cargo build --release --locked --package meshwire-server \
    && mkdir -p /out/data \
    && cp target/release/meshwire-server /out/

FROM gcr.io/distroless/cc-debian13:nonroot
COPY --from=build /out/meshwire-server /usr/local/bin/meshwire-server
# A new volume gets the owner of the folder that it covers.
COPY --from=build --chown=65532:65532 /out/data /data
ENV MESHWIRE_BIND=0.0.0.0:4200 MESHWIRE_STORE=sqlite:/data/meshwire.db
VOLUME /data
EXPOSE 4200
# A number, so that Kubernetes can see that it is not root.
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/meshwire-server", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/meshwire-server"]

# docker build -t patchbay .
# docker run -p 8080:8080 -v patchbay:/data -e JWT_SECRET=... -e TRACKER_REFRESH_SECRET=... -e WORKSPACES_SECRET_KEY=... patchbay
FROM node:22.21-bookworm-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates git \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /patchbay
COPY package.json bun.lock bunfig.toml ./
RUN npx -y bun@1.4.5 install --frozen-lockfile
COPY . .
RUN npx -y bun@1.4.5 run build
# The final image starts empty, so it gets what the executable loads: the C library, and the certificates of TLS.
RUN mkdir -p /image/usr/local/bin /image/etc/ssl/certs /image/data /image/tmp \
 && cp dist/patchbay /image/usr/local/bin/ \
 && ldd dist/patchbay | grep -o '/[^ ]*' | xargs -I{} cp --parents -L {} /image \
 && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
 && chmod 1777 /image/tmp && chown 65532:65532 /image/data

FROM scratch
COPY --from=build /image /
ENV NODE_ENV=production DATA_DIR=/data
USER 65532:65532
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["/usr/local/bin/patchbay", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/patchbay"]
CMD ["serve"]

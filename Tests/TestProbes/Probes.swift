import Contracts
import Core
import Crypto
import Operations

/// A route of each kind of streaming, for tests of the way there and back.
public enum Probes {
    /// `POST /v1/probe/upload` counts the body and hashes it; `GET /v1/probe/ticks?milliseconds=&count=` writes so many lines, each after a pause.
    public static let routes: [Route] = [
        .member(
            .post, "/v1/probe/upload", Operation(id: "probeUpload", summary: "Count and hash", tag: "probe"), streaming: upload
        ) { call, _ in
            guard let upload = call.upload else { throw Problem.internal("no upload") }
            var (bytes, hash) = (0, SHA256())
            for try await piece in upload {
                bytes += piece.count
                hash.update(data: piece)
            }
            return .json(["bytes": .number(bytes), "sha256": .string(Hex.encode(hash.finalize()))])
        },
        .member(.get, "/v1/probe/ticks", Operation(id: "probeTicks", summary: "Tick", tag: "probe"), streaming: .answer) { call, _ in
            let pause = Duration.milliseconds(call.query["milliseconds"].flatMap { Int($0) } ?? 100)
            let count = call.query["count"].flatMap { Int($0) } ?? .max
            var reply = Reply(status: 200, headers: [("content-type", "text/plain; charset=utf-8")])
            reply.stream = { write in
                var tick = 0
                while tick < count {
                    try await Task.sleep(for: pause)
                    tick += 1
                    try await write(Array("tick \(tick)\n".utf8))
                }
            }
            return reply
        },
    ]

    /// What the gateway has to know of them, when the service of that name has them.
    public static func streamedRoutes(of service: ServiceName) -> [StreamedRoute] {
        routes.compactMap { route in route.streaming.map { StreamedRoute(service, route.method, route.path, $0) } }
    }

    private static let upload = Streaming.upload(types: ["application/octet-stream"])
}

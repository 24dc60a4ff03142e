import NIOCore
import NIOPosix
import NIOSSL

/// A client that sends exactly the bytes it is told to.
struct TestClient {
    struct Answer {
        var status: Int
        var head: String
        var bytes: [UInt8] = []
        var body: String { String(decoding: bytes, as: UTF8.self) }

        /// The value of a field; of several, with commas between (RFC 9110, 5.3).
        func header(_ name: String) -> String? {
            let values = head.split(separator: "\r\n").dropFirst().compactMap { line in
                let halves = line.split(separator: ":", maxSplits: 1)
                return halves.count == 2 && halves[0].lowercased() == name.lowercased() ? String(halves[1].drop { $0 == " " }) : nil
            }
            return values.isEmpty ? nil : values.joined(separator: ", ")
        }
    }

    /// The connection ended before an answer was whole.
    struct Ended: Error {}

    private let channel: any Channel
    private let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    private var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    private var bytes: [UInt8] = []

    /// Connects, hands the client to the closure, and closes.
    ///
    /// - Parameters:
    ///   - tls: Speaks TLS, to a server that has a certificate for localhost.
    ///   - address: Where the client comes from: any of 127.0.0.0/8.
    ///   - receiveBuffer: Bytes that the system takes before the client has read any.
    static func connect<Result>(
        port: Int, tls: NIOSSLContext? = nil, from address: String? = nil, receiveBuffer: Int? = nil,
        _ body: (inout TestClient) async throws -> Result
    ) async throws -> Result {
        var bootstrap = ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            // A refusal ends the gateway's output while the test still sends, as a client may. In TLS the end of one side is that of both.
            .channelOption(.allowRemoteHalfClosure, value: tls == nil)
        if let address { bootstrap = bootstrap.bind(to: try SocketAddress(ipAddress: address, port: 0)) }
        if let receiveBuffer { bootstrap = bootstrap.channelOption(.socketOption(.so_rcvbuf), value: .init(receiveBuffer)) }
        let channel = try await bootstrap.connect(host: "127.0.0.1", port: port) { channel in
            channel.eventLoop.makeCompletedFuture {
                if let tls {
                    try channel.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: tls, serverHostname: "localhost"))
                }
                return try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
            }
        }
        return try await channel.executeThenClose { inbound, outbound in
            var client = TestClient(channel: channel.channel, outbound: outbound, inbound: inbound.makeAsyncIterator())
            return try await body(&client)
        }
    }

    /// What the server has shown, once something was read.
    var certificate: NIOSSLCertificate? {
        get async throws { try await channel.nioSSL_peerCertificate().get() }
    }

    var version: TLSVersion? {
        get async throws { try await channel.nioSSL_tlsVersion().get() }
    }

    func send(_ text: String) async throws { try await outbound.write(ByteBuffer(string: text)) }
    func send(bytes: [UInt8]) async throws { try await outbound.write(ByteBuffer(bytes: bytes)) }

    /// Sends the same bytes so many times, without waiting until they are gone.
    func push(_ bytes: ByteBuffer, times: Int) {
        for _ in 0..<times { channel.writeAndFlush(bytes, promise: nil) }
    }

    /// Bytes that the system has not taken yet.
    var unsentBytes: Int {
        get async throws { try await channel.getOption(.bufferedWritableBytes).get() }
    }

    private mutating func more() async throws {
        guard let part = try await inbound.next() else { throw Ended() }
        bytes.append(contentsOf: part.readableBytesView)
    }

    /// Reads one answer.
    mutating func answer(hasBody: Bool = true) async throws -> Answer {
        while true {
            if let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) {
                let head = String(decoding: bytes[..<end.lowerBound], as: UTF8.self)
                var answer = Answer(status: Int(head.split(separator: " ")[1]) ?? 0, head: head)
                bytes.removeSubrange(..<end.upperBound)
                if !hasBody || answer.status == 204 || answer.status == 304 || answer.status < 200 { return answer }
                if answer.header("transfer-encoding") != nil {
                    answer.bytes = try await chunks()
                } else if let length = answer.header("content-length").flatMap({ Int($0) }) {
                    while bytes.count < length { try await more() }
                    answer.bytes = Array(bytes[..<length])
                    bytes.removeSubrange(..<length)
                }
                return answer
            }
            try await more()
        }
    }

    private mutating func chunks() async throws -> [UInt8] {
        var content: [UInt8] = []
        while true {
            guard let line = bytes.firstRange(of: Array("\r\n".utf8)) else {
                try await more()
                continue
            }
            let size = Int(String(decoding: bytes[..<line.lowerBound], as: UTF8.self), radix: 16) ?? 0
            while bytes.count < line.upperBound + size + 2 { try await more() }
            content.append(contentsOf: bytes[line.upperBound..<line.upperBound + size])
            bytes.removeSubrange(..<(line.upperBound + size + 2))
            if size == 0 { return content }
        }
    }

    /// Reads so many bytes.
    mutating func text(of count: Int) async throws -> String {
        while bytes.count < count { try await more() }
        defer { bytes.removeSubrange(..<count) }
        return String(decoding: bytes[..<count], as: UTF8.self)
    }

    /// Waits for the end of the connection and returns what came before.
    mutating func rest() async throws -> String {
        while let part = try await inbound.next() { bytes.append(contentsOf: part.readableBytesView) }
        return String(decoding: bytes, as: UTF8.self)
    }

    mutating func get(_ target: String, token: String? = nil, headers: String = "") async throws -> Answer {
        let authorization = token.map { "Authorization: Bearer \($0)\r\n" } ?? ""
        try await send("GET \(target) HTTP/1.1\r\nHost: test\r\n\(authorization)\(headers)\r\n")
        return try await answer()
    }
}

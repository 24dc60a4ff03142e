import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Finds all addresses of a name.
struct NameLookup: Sendable {
    struct Failure: Error {
        /// What `getaddrinfo` returned.
        var code: Int32
    }

    /// Called on a thread that may block.
    let addresses: @Sendable (UpstreamAddress) throws -> [SocketAddress]

    /// Asks as the system is configured to: its hosts file, its DNS.
    ///
    /// Of a name that has addresses of both kinds those of IPv4 are taken, or each process would count as two, and one that listens for IPv4
    /// only as half gone.
    static let system = NameLookup { name in
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(name.host, nil, &hints, &found)
        guard code == 0 else { throw Failure(code: code) }
        defer { freeaddrinfo(found) }
        var (four, six): ([SocketAddress], [SocketAddress]) = ([], [])
        var entry = found
        while let info = entry?.pointee {
            switch info.ai_family {
            case AF_INET:
                info.ai_addr.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { four.append(SocketAddress($0.pointee)) }
            case AF_INET6:
                info.ai_addr.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { six.append(SocketAddress($0.pointee)) }
            default: break
            }
            entry = info.ai_next
        }
        return (four.isEmpty ? six : four).map { address in
            var address = address
            address.port = name.port
            return address
        }
    }

    /// Of their own: a name server that does not answer holds them for many seconds, and nothing else must wait for that.
    private static let threads = {
        let threads = NIOThreadPool(numberOfThreads: 4)
        threads.start()
        return threads
    }()

    /// Looks names up off the event loop; the future succeeds there with what is known of each, and fails never.
    func find(_ names: [UpstreamAddress], on eventLoop: any EventLoop) -> EventLoopFuture<[(name: UpstreamAddress, found: [SocketAddress])]>
    {
        Self.threads.runIfActive(eventLoop: eventLoop) { [addresses] in
            names.map { name in (name, (try? addresses(name)) ?? []) }
        }
    }
}

extension UpstreamAddress {
    /// The address itself, when it is one and not a name.
    var literal: SocketAddress? { try? SocketAddress(ipAddress: host, port: port) }
}

import Synchronization

/// How many connections each address has, on all event loops together. Touched when one begins and ends, never by a request.
final class ConnectionCensus: Sendable {
    private let counts = Mutex<[String: Int]>([:])

    /// - Returns: Whether the address may have one more.
    func enter(_ address: IPAddress, limit: Int, client: Client) -> Bool {
        let key = address.limitKey
        let enters = counts.withLock { counts in
            guard counts[key, default: 0] < limit else { return false }
            counts[key, default: 0] += 1
            return true
        }
        if enters { client.censusKey = key }
        return enters
    }

    /// Counts a connection no more, once.
    func leave(_ client: Client) {
        guard let key = client.censusKey else { return }
        client.censusKey = nil
        counts.withLock { counts in
            let left = (counts[key] ?? 1) - 1
            counts[key] = left > 0 ? left : nil
        }
    }
}

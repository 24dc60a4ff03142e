import Core
import NIOCore

/// Which connections may be in a TLS handshake. A handshake costs a thousand times what a request does, and one that is never finished
/// holds memory, so there are places for a number of them: in all, and for one address. One for each event loop, on which it is used.
///
/// When all places are taken, the handshake that has lasted longest gives way. An honest one takes two round trips and is young; what
/// fills the places with silence is old.
final class HandshakeGate {
    struct Limits: Sendable {
        /// Handshakes at once.
        var places: Int
        /// Those of them that one address may have, or one /64 of IPv6.
        var placesPerAddress: Int
        /// From the connection to the end of the handshake.
        var time: TimeAmount
    }

    /// Why a connection was ended before its handshake was. The values are labels of the metric.
    enum Failure: String, CaseIterable, Sendable {
        /// Its address has all the places that it may have.
        case address
        /// It gave way to a newer one.
        case crowdedOut = "crowded_out"
        case time
        /// The client went away.
        case closed
        /// What came was no TLS; most often it is HTTP in clear text.
        case clearText = "clear_text"
        /// The client speaks no version that is served.
        case version
        /// The client knows no cipher, curve or signature that is served.
        case algorithms
        /// The client refused, most often since it does not trust the certificate.
        case refused
        case malformed
    }

    /// What has come of all handshakes.
    struct Figures: Sendable, Equatable {
        var underWay = 0
        var completed = 0
        var failures = [Int](repeating: 0, count: Failure.allCases.count)

        mutating func add(_ other: Figures) {
            underWay += other.underWay
            completed += other.completed
            for index in failures.indices { failures[index] += other.failures[index] }
        }

        func count(_ failure: Failure) -> Int { failures[Failure.allCases.firstIndex(of: failure) ?? 0] }
    }

    /// One handshake under way.
    final class Place {
        fileprivate let number: Int
        fileprivate let network: Network?
        /// Ends the connection, when its time is up or another needs the place.
        fileprivate let end: () -> Void

        fileprivate init(number: Int, network: Network?, end: @escaping () -> Void) {
            self.number = number
            self.network = network
            self.end = end
        }
    }

    fileprivate struct Network: Hashable {
        let high: UInt64
        let low: UInt64

        init(_ address: IPAddress) {
            high = address.high
            low = address.isV4 ? address.low : 0
        }
    }

    var limits: Limits
    /// By number, which grows with each.
    private var places: [Int: Place] = [:]
    private var byNetwork: [Network: Int] = [:]
    private var nextNumber = 0
    /// No place has a number below.
    private var oldestNumber = 0
    private var counts = Figures()

    init(limits: Limits) { self.limits = limits }

    var figures: Figures {
        var figures = counts
        figures.underWay = places.count
        return figures
    }

    /// Takes a place; ``leave(_:failure:)`` gives it back.
    ///
    /// - Parameters:
    ///   - address: Whose handshake it is; `nil` where that is not known, as behind a balancer that does not tell, and then only all
    ///     places count.
    ///   - end: Ends the connection. Called at most once, and not after ``leave(_:failure:)``.
    /// - Returns: `nil` when the address has all its places.
    func enter(_ address: IPAddress?, end: @escaping () -> Void) -> Place? {
        let network = address.map { Network($0) }
        if let network, byNetwork[network, default: 0] >= limits.placesPerAddress {
            count(.address)
            return nil
        }
        if places.count >= limits.places { expire(oldest(), as: .crowdedOut) }
        let place = Place(number: nextNumber, network: network, end: end)
        places[nextNumber] = place
        nextNumber += 1
        if let network { byNetwork[network, default: 0] += 1 }
        return place
    }

    /// The handshake has ended, well or not. Without effect for a place that was taken away before.
    func leave(_ place: Place, failure: Failure? = nil) {
        guard places.removeValue(forKey: place.number) != nil else { return }
        if let network = place.network {
            if let others = byNetwork[network], others > 1 { byNetwork[network] = others - 1 } else { byNetwork[network] = nil }
        }
        if let failure { count(failure) } else { counts.completed += 1 }
    }

    /// Its time is up. Without effect for a place that was given back.
    func expire(_ place: Place) { expire(place, as: .time) }

    private func expire(_ place: Place?, as failure: Failure) {
        guard let place, places[place.number] != nil else { return }
        leave(place, failure: failure)
        place.end()
    }

    private func oldest() -> Place? {
        // Each number is passed once.
        while oldestNumber < nextNumber {
            if let place = places[oldestNumber] { return place }
            oldestNumber += 1
        }
        return nil
    }

    private func count(_ failure: Failure) { counts.failures[Failure.allCases.firstIndex(of: failure) ?? 0] += 1 }
}

import Contracts
import NIOCore
import Synchronization

/// What this gateway admits of each limit while Redis is away: its share of it in any window, all its event loops together.
///
/// What it had admitted by leases before counts, so a gateway that had its share already admits nothing until that leaves the window. Of
/// each limit at least one request in a window is admitted: where there are more gateways than a limit counts, they exceed it. Touched
/// only while Redis is away.
final class LocalShares: Sendable {
    struct Verdict {
        var isAdmitted: Bool
        var remaining: Int
        /// When the next is admitted, or further ones.
        var moreAt: NIODeadline
    }

    private struct State {
        var share: Double
        var seats: UInt64 = 0
        /// Of each limit what its buckets admitted, by their seats.
        var admitted = GenerationCache<String, [UInt64: SlidingWindow]>(limit: 20_000)
    }

    private let state: Mutex<State>

    /// - Parameter share: The part of each limit, 0…1.
    init(share: Double) { state = Mutex(State(share: share)) }

    /// Changes the share, for what is asked from now on.
    func change(share: Double) { state.withLock { $0.share = share } }

    /// A number for a bucket, under which it tells what it admitted.
    func makeSeat() -> UInt64 {
        state.withLock { state in
            state.seats += 1
            return state.seats
        }
    }

    /// Takes one of the share.
    ///
    /// - Parameter own: All that the bucket admitted; when one more is admitted, with that.
    func take(of key: String, policy: RateLimit, seat: UInt64, own: inout SlidingWindow, now: NIODeadline) -> Verdict {
        own.forget(now: now)
        let window = own
        let verdict = state.withLock { state in
            var all = state.admitted[key] ?? [:]
            all[seat] = window
            for place in all.keys { all[place]?.forget(now: now) }
            all = all.filter { !$0.value.isEmpty }
            let allowed = max(1, Int(Double(policy.count) * state.share))
            let left = allowed - all.values.reduce(0) { $0 + $1.total }
            let isAdmitted = left > 0
            if isAdmitted { all[seat, default: window].add(at: now) }
            state.admitted[key] = all
            return Verdict(
                isAdmitted: isAdmitted, remaining: max(0, left - 1),
                moreAt: Self.moreAt(all.values.flatMap(\.entries), over: -left, now, policy))
        }
        if verdict.isAdmitted { own.add(at: now) }
        return verdict
    }

    /// Takes over what a bucket admitted, when that has changed by more than ``take(of:policy:seat:own:now:)``.
    func note(_ own: SlidingWindow, of key: String, seat: UInt64) {
        state.withLock { $0.admitted[key]?[seat] = own }
    }

    /// When more than so many have left the window.
    private static func moreAt(_ entries: [SlidingWindow.Entry], over: Int, _ now: NIODeadline, _ policy: RateLimit) -> NIODeadline {
        var gone = 0
        for entry in entries.sorted(by: { $0.at < $1.at }) {
            gone += entry.count
            if gone > over { return entry.at + policy.window }
        }
        return now + policy.window
    }
}

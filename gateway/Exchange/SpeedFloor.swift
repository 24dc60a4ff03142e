import NIOCore

/// How slowly a body may come that is too long for a time within which it must be whole. The client has a while, which each byte makes
/// longer by what it may take, up to what it was at first: whoever is faster never comes near the end of it.
struct SpeedFloor {
    private let bytesPerSecond: Int
    private let patience: TimeAmount
    /// What was left when the body was last held back: that time is not the client's.
    private var left: TimeAmount?
    /// When the client has been too slow; not while the body is held back.
    private(set) var deadline = NIODeadline.distantFuture

    /// Held back at first.
    init(bytesPerSecond: Int, patience: TimeAmount) {
        self.bytesPerSecond = bytesPerSecond
        self.patience = patience
        left = patience
    }

    init(_ settings: PolicySettings) { self.init(bytesPerSecond: settings.uploadFloor, patience: settings.uploadPatience) }

    mutating func received(_ bytes: Int, now: NIODeadline) {
        let gain = TimeAmount.nanoseconds(Int64(bytes) * 1_000_000_000 / Int64(bytesPerSecond))
        if let left { self.left = min(left + gain, patience) } else { deadline = min(deadline + gain, now + patience) }
    }

    mutating func hold(now: NIODeadline) {
        if left == nil { left = max(.zero, deadline - now) }
        deadline = .distantFuture
    }

    mutating func goOn(now: NIODeadline) {
        guard let left else { return }
        deadline = now + left
        self.left = nil
    }
}

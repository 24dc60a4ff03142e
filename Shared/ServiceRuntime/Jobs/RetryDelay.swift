/// How long a job waits after an attempt that failed: 2 s, then three times as long each time, up to an hour. Ten attempts take two hours
/// and a half. Up to half of it is taken off by chance, so that what failed together does not come back together.
enum RetryDelay {
    static let longest: Duration = .seconds(3600)

    /// - Parameters:
    ///   - attempt: the one that failed, from 1.
    ///   - chance: from 0 to 1.
    static func after(attempt: Int, chance: Double) -> Duration {
        var delay: Duration = .seconds(2)
        // The eighth is beyond the longest already.
        for _ in 1..<min(max(attempt, 1), 8) { delay *= 3 }
        return min(delay, longest) * (1 - chance / 2)
    }
}

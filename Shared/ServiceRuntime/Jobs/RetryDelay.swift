import Postgres

/// How long a job waits after an attempt that failed: 2 s, then three times as long each time, up to an hour. Ten attempts take two hours
/// and a half. Up to half of it is taken off by chance, so that what failed together does not come back together.
enum RetryDelay {
    static let longest: Duration = .seconds(3600)

    /// The same of the column `attempt`, for a job whose workers have died. One of the service's own waits a minute at most: it is periodic.
    static let afterDeath: SQL = """
        make_interval(secs => least(2 * 3 ^ least(attempt - 1, 7), case when tenant_id = \(TakenJob.noTenant) then 60 else 3600 end) \
        * (1 - random() / 2))
        """
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

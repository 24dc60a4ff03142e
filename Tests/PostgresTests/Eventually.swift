import Testing

/// Waits until the condition holds, asking every few milliseconds; fails after the limit.
func eventually(_ comment: Comment, within limit: Duration = .seconds(20), _ condition: () async throws -> Bool) async throws {
    let end = ContinuousClock.now + limit
    while try await !condition() {
        try #require(ContinuousClock.now < end, comment)
        try await Task.sleep(for: .milliseconds(5))
    }
}

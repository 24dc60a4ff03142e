import Testing

@testable import ServiceRuntime

@Suite struct RetryDelayTests {
    @Test func delaysGrowThreefoldUpToAnHour() {
        let delays = (1...10).map { RetryDelay.after(attempt: $0, chance: 0) }
        #expect(delays == [2, 6, 18, 54, 162, 486, 1458, 3600, 3600, 3600].map { .seconds($0) })
        // An attempt that nobody counts to is no overflow.
        #expect(RetryDelay.after(attempt: .max, chance: 0) == .seconds(3600))
        #expect(RetryDelay.after(attempt: 0, chance: 0) == .seconds(2))
    }

    @Test func chanceTakesOffUpToHalf() {
        #expect(RetryDelay.after(attempt: 2, chance: 1) == .seconds(3))
        #expect(RetryDelay.after(attempt: 2, chance: 0.5) == .milliseconds(4500))
    }
}

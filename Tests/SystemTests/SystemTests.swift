import Core
import Foundation
import TestSupport
import Testing

/// Everything that goes through the gateway to real processes. They share one platform, started once.
@Suite(.serialized, .platform)
struct SystemTests {}

/// Starts a platform around a suite and stops it afterwards.
struct PlatformTrait: SuiteTrait, TestScoping {
    let isRecursive = false

    func provideScope(for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void) async throws {
        let redis = try #require(ProcessInfo.processInfo.environment["MARTLET_TEST_REDIS"], "run the tests with Tests/run")
        let platform = try await Platform(server: .shared(), redisURL: redis, gateway: ["MARTLET_BASE_DOMAIN": World.domain])
        do {
            let world = try await World(platform: platform)
            try await World.$current.withValue(world) { try await function() }
        } catch {
            await platform.stop()
            throw error
        }
        await platform.stop()
    }
}

extension Trait where Self == PlatformTrait {
    static var platform: PlatformTrait { PlatformTrait() }
}

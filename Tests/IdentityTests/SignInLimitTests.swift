import Contracts
import Core
import Operations
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import Identity

/// A17 of the threats: guessing past the limits.
@Suite struct SignInLimitTests {
    /// Twenty guesses at the same moment: five are looked at, whether the account exists or not.
    @Test func aBurstAtTheSameMomentHasNoMoreGuessesThanTheLimit() async throws {
        try await IdentityPlatform.run { platform in
            _ = try await platform.register("anna")
            for name in ["anna", "nobody"] {
                let answers = try await withThrowingTaskGroup(of: APIAnswer.self) { group in
                    for index in 0..<20 {
                        group.addTask { try await platform.login(name, password: "wrong password \(index)", address: "192.0.2.\(index)") }
                    }
                    return try await group.reduce(into: [APIAnswer]()) { $0.append($1) }
                }
                #expect(answers.count { $0.status == 401 } == 5)
                let refused = answers.filter { $0.status == 429 }
                #expect(refused.count == 15)
                #expect(refused.allSatisfy { $0.header("ratelimit-policy") == "\"sign-in-account\";q=5;w=900" })
                #expect(refused.allSatisfy { $0.header("ratelimit") == "\"sign-in-account\";r=0;t=\($0.header("retry-after") ?? "-")" })
                #expect(refused.allSatisfy { $0.code == "rate_limited" && (1...900).contains(Int($0.header("retry-after") ?? "") ?? 0) })
                // Not even the right password is looked at now.
                try await platform.login(name, expecting: 429)
            }
            try await platform.database.query(in: .identity, ["update sign_in_attempt set occurred_at = now() - interval '15 minutes'"])
            try await platform.login("anna", expecting: 200)
        }
    }

    @Test func rightPasswordsAreNotCounted() async throws {
        try await IdentityPlatform.run { platform in
            _ = try await platform.register("anna")
            for _ in 0..<8 { try await platform.login("anna", expecting: 200) }
            #expect(try await platform.database.query(in: .identity, ["select from sign_in_attempt"])[0].isEmpty)
        }
    }

    @Test func failuresFromOneAddressAreLimitedOverAllAccounts() async throws {
        try await IdentityPlatform.run(settings: ["MARTLET_SIGNIN_ADDRESS_LIMIT": "4"]) { platform in
            for index in 0..<4 { try await platform.login("nobody-\(index)", address: "2001:db8:1:2::\(index)", expecting: 401) }
            // Another address of the same /64 is the same customer; another network is not.
            let refused = try await platform.login("nobody-9", address: "2001:db8:1:2:ffff::1", expecting: 429)
            #expect(refused.header("ratelimit-policy") == "\"sign-in-address\";q=4;w=900")
            #expect(refused.header("ratelimit")?.hasPrefix("\"sign-in-address\";r=0;t=") == true)
            try await platform.login("nobody-9", address: "2001:db8:1:3::1", expecting: 401)
        }
    }

    /// A18: the median of several sign-ins with an unknown address and with a wrong password differ by less than a quarter.
    @Test func anUnknownAddressTakesAsLongAsAWrongPassword() async throws {
        let settings = ["MARTLET_SIGNIN_ACCOUNT_LIMIT": "100", "MARTLET_SIGNIN_ADDRESS_LIMIT": "1000"]
        try await IdentityPlatform.run(settings: settings) { platform in
            _ = try await platform.register("anna")
            var known: [Duration] = []
            var unknown: [Duration] = []
            for _ in 0..<9 {
                known.append(
                    try await ContinuousClock().measure { try await platform.login("anna", password: "a wrong password", expecting: 401) })
                unknown.append(
                    try await ContinuousClock().measure { try await platform.login("nobody", password: "a wrong password", expecting: 401) }
                )
            }
            let ratio = unknown.sorted()[4] / known.sorted()[4]
            #expect((0.75...1.33).contains(ratio), "unknown \(unknown.sorted()[4]), known \(known.sorted()[4])")
        }
    }
}

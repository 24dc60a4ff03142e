import Contracts
import Core
import Operations
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import Identity

@Suite struct PasswordTests {
    private static let cheap = Scrypt(logN: 4, blockSize: 8, parallelization: 1)

    /// RFC 7914, section 12.
    @Test func scryptGivesTheResultsOfItsSpecification() throws {
        let first = try Scrypt(logN: 10, blockSize: 8, parallelization: 16).derive(
            password: Array("password".utf8), salt: Array("NaCl".utf8), length: 64)
        #expect(
            Hex.encode(first)
                == "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b3731622eaf30d92e22a3886ff109279d9830dac727afb94a83ee6d8360cbdfa2cc0640"
        )
        let empty = try Scrypt(logN: 4, blockSize: 1, parallelization: 1).derive(password: [], salt: [], length: 64)
        #expect(Hex.encode(empty).hasPrefix("77d6576238657b203b19ca42c18a0497"))
    }

    @Test func aHashIsReadBackAndKnowsItsPassword() async throws {
        let hasher = PasswordHasher(parameters: Self.cheap, concurrency: 1)
        let hash = try await hasher.hash("correct horse battery")
        #expect(hash.description.hasPrefix("$scrypt$ln=4,r=8,p=1$"))
        let read = try #require(PasswordHash(hash.description))
        #expect(read == hash)
        #expect(try await hasher.verify("correct horse battery", against: read))
        #expect(try await !hasher.verify("correct horse batterz", against: read))
        #expect(try await !hasher.verify("correct horse battery", against: nil))
        #expect(try await hasher.hash("correct horse battery") != hash)
        // Both ways to write an ü, as one character and as two.
        let composed = try await hasher.hash("p\u{FC}nktlich um acht")
        #expect(try await hasher.verify("pu\u{308}nktlich um acht", against: composed))
        for text in [
            "", "$scrypt$", "$argon2id$ln=4,r=8,p=1$YWFhYWFhYWE$YWFhYWFhYWFhYWFhYWFhYQ",
            "$scrypt$ln=99,r=8,p=1$YWFhYWFhYWE$YWFhYWFhYWFhYWFhYWFhYQ",
            "$scrypt$ln=4,r=8$YWFhYWFhYWE$YWFhYWFhYWFhYWFhYWFhYQ", hash.description + "$", hash.description + "!",
        ] { #expect(PasswordHash(text) == nil, "\(text)") }
        try await hasher.shutdown()
    }

    @Test func halfOfTheQueueIsForSigningInAlone() async throws {
        let hasher = PasswordHasher(parameters: Scrypt(logN: 16, blockSize: 8, parallelization: 1), concurrency: 1, queue: 3)
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for _ in 0..<8 {
                group.addTask { do { return try await hasher.hash("correct horse battery").description.isEmpty } catch { return true } }
            }
            // Two are at work or wait, and the others were refused at once.
            var refused = 0
            while refused < 6, let isRefused = try await group.next() { if isRefused { refused += 1 } }
            #expect(refused == 6)
            #expect(try await !hasher.verify("correct horse battery", against: nil))
            try await group.waitForAll()
        }
        try await hasher.shutdown()
    }

    @Test func whatDoesNotFitTheQueueIsRefusedAtOnce() async throws {
        let hasher = PasswordHasher(parameters: Scrypt(logN: 14, blockSize: 8, parallelization: 1), concurrency: 1, queue: 2)
        let outcomes = await withTaskGroup(of: Problem?.self) { group in
            for _ in 0..<10 {
                group.addTask {
                    do {
                        _ = try await hasher.hash("correct horse battery")
                        return nil
                    } catch { return error as? Problem }
                }
            }
            return await group.reduce(into: [Problem?]()) { $0.append($1) }
        }
        let refused = outcomes.compactMap { $0 }
        #expect(refused.count >= 5)
        #expect(refused.allSatisfy { $0.code == .overloaded && $0.retryAfter != nil })
        #expect(outcomes.count { $0 == nil } >= 1)
        // The refused have given back their place.
        _ = try await hasher.hash("correct horse battery")
        try await hasher.shutdown()
    }

    @Test(
        arguments: [
            ("short", "too_short"), (String(repeating: "é", count: 256), nil), (String(repeating: "ab-c", count: 65), "too_long"),
            (String(repeating: "a", count: 2000), "too_long"), ("qwertyuiop", "too_common"), ("Password123!", "too_common"),
            ("welcome2031!!", "too_common"), ("aaaaaaaaaaaa", "too_common"), ("Anna@Example.test", "too_common"),
            ("with\u{0}nul and more", "invalid_text"), ("martlet-demo", "too_common"), ("correct horse battery", nil),
            ("пароль-подлиннее", nil),
        ] as [(String, String?)])
    func passwordsAreHeldToThePolicy(password: String, code: String?) {
        let policy = PasswordPolicy(allowsDemoPassword: false)
        let fault = policy.fault(of: password, email: EmailAddress("anna@example.test"))
        #expect(fault?.code.rawValue == (password.hasPrefix("éé") ? "too_common" : code))
    }

    @Test func theListOfCommonPasswordsIsLongAndRelevant() {
        #expect(CommonPasswords.contain("1q2w3e4r5t"))
        #expect(!CommonPasswords.contain("correct horse battery"))
    }

    /// The cost rises; the next sign-in hashes anew, and the password stays the same.
    @Test func aSignInHashesAnewWhenTheCostHasRisen() async throws {
        try await IdentityPlatform.run { platform in
            _ = try await platform.register("anna")
            @Sendable func storedCost() async throws -> String {
                let rows = try await platform.database.query(
                    in: .identity, ["select split_part(password_hash, '$', 3) as cost from credential"])
                return try #require(try rows[0].first?.decode("cost", as: String.self))
            }
            #expect(try await storedCost() == "ln=15,r=8,p=3")
            let settings = [
                "MARTLET_TENANT_URL": platform.tenant.url, "MARTLET_KEY_ENCRYPTION_KEY": IdentityPlatform.encryptionKey,
                "MARTLET_PASSWORD_COST": "16",
            ]
            try await RunningService.run(identityDefinition, on: platform.database, settings: settings) { identity in
                let raised = IdentityPlatform(database: platform.database, identity: identity, tenant: platform.tenant)
                try await raised.login("anna", password: "wrong horse battery", expecting: 401)
                #expect(try await storedCost() == "ln=15,r=8,p=3")
                try await raised.login("anna", expecting: 200)
                #expect(try await storedCost() == "ln=16,r=8,p=3")
                try await raised.login("anna", expecting: 200)
            }
        }
    }
}

@Suite struct EmailAddressTests {
    @Test(arguments: [
        "a@b.cc", " Anna.Berg+crm@Mail.Example.TEST ", "o'neil@x-y.example", "\(String(repeating: "a", count: 64))@b.cc",
        "x@münchen.example", "\tä@b.cc\r\n", "用户@例子.广告", "Dörte@Sörensen.example", "संपर्क@डाटामेल.भारत", "a@xn--mnchen-3ya.example",
        "\u{2068}a@b.cc\u{2069}",
    ])
    func addressesOfSaneFormAreTaken(text: String) throws {
        let address = try #require(EmailAddress(text))
        #expect(address.key == address.text.lowercased())
        #expect(!address.text.hasPrefix(" "))
    }

    @Test(arguments: [
        "", "a", "@b.cc", "a@", "a@b", "a@.cc", "a@b..cc", "a@b.cc.", ".a@b.cc", "a.@b.cc", "a..b@c.dd", "a@-b.cc", "a@b-.cc", "a b@c.dd",
        "a@b.cc\u{0}", "a\n@b.cc", "a\u{200B}b@c.dd", "\u{202E}a@b.cc", "a\u{2028}@b.cc", "a@❤.example", "a@b\u{200D}.cc", "a@\u{301}b.cc",
        "a\u{A0}b@c.dd",
        "\(String(repeating: "ä", count: 33))@b.cc", "a@b@c.dd", "\"a b\"@c.dd", "a@[192.0.2.1]",
        "\(String(repeating: "a", count: 65))@b.cc",
        "a@\(String(repeating: "b.", count: 130))cc", "a@\(String(repeating: "b", count: 64)).cc",
    ])
    func othersAreNot(text: String) { #expect(EmailAddress(text) == nil) }

    @Test(arguments: [
        ("Hans+News@Wurst.example", "hans+news@wurst.example"), ("Jo\u{308}rg@M\u{FC}nchen.example", "jörg@münchen.example"),
        ("ÄNNE@B.CC", "änne@b.cc"),
    ])
    func twoSpellingsOfOneAddressHaveOneKey(text: String, key: String) throws {
        #expect(try Array(#require(EmailAddress(text)).key.utf8) == Array(key.utf8))
    }

    /// A33: a megabyte of what a bad parser would go back over is refused in no time.
    @Test func aHugeTextIsRefusedAtOnce() {
        let text = String(repeating: "a.", count: 500_000) + "@"
        let time = ContinuousClock().measure { #expect(EmailAddress(text) == nil) }
        #expect(time < .milliseconds(500))
    }
}

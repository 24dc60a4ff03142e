import Core
import Foundation
import Testing

@Suite struct RoleTests {
    /// The matrix that a person can read, and that is a promise. To change it on purpose, change the file with it.
    @Test func rolesGrantWhatTheGoldenFileSays() throws {
        var lines: [String] = []
        for role in BuiltInRole.allCases {
            lines.append(role.rawValue)
            for resource in PermissionResource.allCases {
                let actions = PermissionAction.allCases.filter { role.permissions.contains(Permission(resource, $0)) }.map(\.rawValue)
                if actions.isEmpty { continue }
                lines.append("  \(resource.rawValue): \(actions.joined(separator: " ")) (\(role.scopes[resource]))")
            }
        }
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("roles.golden.txt")
        let golden = try String(contentsOf: file, encoding: .utf8)
        #expect(lines.joined(separator: "\n") + "\n" == golden)
    }

    @Test func setsReadBackFromTheirEncodings() {
        for role in BuiltInRole.allCases {
            #expect(PermissionSet(encoded: role.permissions.encoded) == role.permissions)
            #expect(RowScopes(encoded: role.scopes.encoded) == role.scopes)
        }
        #expect(PermissionSet(encoded: "0g") == nil)
        #expect(RowScopes(encoded: "x") == nil)
    }

    @Test func ofASetFromANewerReleaseWhatIsKnownIsRead() throws {
        for role in BuiltInRole.allCases {
            #expect(PermissionSet(encoded: role.permissions.encoded + "ff01") == role.permissions)
            #expect(RowScopes(encoded: role.scopes.encoded + "39") == role.scopes)
            // A ninth action, one of a fifth plane, and something behind the scopes.
            let older = try #require(PermissionSet(encoded: role.permissions.encoded + ".01"))
            #expect(older.permissions == role.permissions.permissions)
            #expect(PermissionSet(encoded: role.permissions.encoded + "ff....80")?.permissions == role.permissions.permissions)
            #expect(RowScopes(encoded: role.scopes.encoded + "3.anything") == role.scopes)
        }
        // A scope that is not known reaches nothing.
        #expect(RowScopes(encoded: "43")?[.leads] == RowScope.none)
        #expect(RowScopes(encoded: "43")?[.contacts] == .all)
    }

    @Test func aSetFromAnOlderReleaseLacksWhatIsNewer() throws {
        let older = try #require(PermissionSet(encoded: "01"))
        #expect(older.permissions == [Permission(.leads, .read)])
        #expect(older.encoded == "01" + String(repeating: "00", count: PermissionResource.allCases.count - 1))
        #expect(PermissionSet(encoded: "")?.permissions == [])
        for broken in ["0", "01.0", "01.x", "01,02"] { #expect(PermissionSet(encoded: broken) == nil, "\(broken)") }
    }

    /// What a newer release's set has that is not known here stays in it as it is handed on, in places of its own.
    @Test func furtherActionsHaveRoomBehindTheFirstEight() throws {
        let newer = try #require(PermissionSet(encoded: "01.0003"))
        #expect(newer.permissions == [Permission(.leads, .read)])
        #expect(newer.encoded.hasSuffix(".0003" + String(repeating: "00", count: PermissionResource.allCases.count - 2)))
        #expect(PermissionSet(encoded: newer.encoded) == newer)
        #expect(newer.concerns(.contacts))
        #expect(!newer.concerns(.accounts))
    }

    @Test func rightsIncludeThoseWithFewerPermissionsOnFewerRecords() {
        let read = Permission(.leads, .read)
        func rights(_ permissions: [Permission], _ scope: RowScope) -> Rights {
            var scopes = RowScopes()
            scopes[.leads] = scope
            return Rights(permissions: PermissionSet(permissions), scopes: scopes)
        }
        let team = rights([read, Permission(.leads, .update)], .team)
        #expect(team.include(team))
        #expect(team.include(rights([read], .own)))
        #expect(team.include(rights([], .all)), "a scope without a permission gives nothing")
        #expect(!team.include(rights([read], .all)))
        #expect(!team.include(rights([read, Permission(.leads, .delete)], .own)))
        #expect(!rights([read], .all).include(team))
        for role in BuiltInRole.allCases {
            #expect(BuiltInRole.superAdmin.rights.include(role.rights))
            #expect(BuiltInRole.tenantAdmin.rights.include(role.rights) == (role != .superAdmin))
        }
        #expect(!BuiltInRole.sales.rights.include(BuiltInRole.readOnly.rights))
    }

    @Test func everyCodeIsInTheGoldenList() throws {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("codes.golden.txt")
        let golden = try String(contentsOf: file, encoding: .utf8)
        let codes = ErrorCode.allCases.map { "\($0.rawValue) \($0.status)" } + [""] + FaultCode.allCases.map { "errors[].\($0.rawValue)" }
        #expect(codes.joined(separator: "\n") + "\n" == golden)
    }

    @Test func theNearestNameIsSuggested() {
        #expect(Suggestion.nearest(to: "emial", among: ["email", "phone", "title"]) == "email")
        #expect(Suggestion.nearest(to: "zzzzzz", among: ["email", "phone"]) == nil)
    }

    @Test func queriesAreReadStrictly() throws {
        let query = try Query("a=1&b=x%20y+z&c=&%C3%A9=%26")
        #expect(query["a"] == "1")
        #expect(query["b"] == "x y z")
        #expect(query["c"] == "")
        #expect(query["é"] == "&")
        for broken in ["a=%", "a=%4", "a=%zz", "a=%ff", "a=%00", "a=1&a=2"] { #expect(throws: Problem.self) { try Query(broken) } }
        let problem = #expect(throws: Problem.self) { try Query("limti=5").allowOnly(["limit", "after"]) }
        #expect(problem?.code == .unknownParameter)
        #expect(problem?.detail.contains("'limit'") == true)
    }
}

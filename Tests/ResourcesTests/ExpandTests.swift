import CRM
import Core
import Postgres
import Resources
import Testing

/// `?expand=` on a record and on a list.
@Suite struct ExpandTests {
    @Test func theAccountStandsBesideItsId() async throws {
        try await ResourceAPI.contacts { api in
            let admin = api.member()
            let account = try await api.create(
                #"{"name":"Kestrel \"Freight\"","tags":["a b"],"custom":{"x":1},"address":{"city":"Köln"}}"#, at: "/v1/accounts", as: admin)
            let contact = try await api.create(#"{"last_name":"A","account_id":"\#(account.id)"}"#, as: admin)
            let alone = try await api.create(#"{"last_name":"B"}"#, as: admin)
            let path = "/v1/contacts/\(contact.id)"
            let one = try await api.send(.get, "\(path)?expand=account", as: admin)
            #expect(one.status == 200, "\(one.text)")
            var expected = JSONObject()
            for member in contact.object?.members ?? [] {
                expected[member.name] = member.value
                if member.name == "account_id" { expected["account"] = account }
            }
            #expect(try one.json == .object(expected))
            #expect(try one.json.object?.names == expected.names)
            #expect(try await api.send(.get, "/v1/contacts/\(alone.id)?expand=account", as: admin).json["account"] == .null)

            let list = try await api.send(.get, "/v1/contacts?expand=account&sort=last_name", as: admin)
            #expect(list.text.hasPrefix(#"{"data":["# + one.text + ","), "\(list.text)")
            #expect(try list.column("account")[1] == .null)
            #expect(try await api.send(.get, "/v1/contacts", as: admin).text.contains(#""account":"#) == false)
            // A sparse record needs not have the reference.
            let sparse = try await api.send(.get, "\(path)?expand=account&fields=last_name,tags", as: admin)
            #expect(try sparse.json.object?.names == ["last_name", "account", "tags"])
            #expect(try sparse.json["account"] == account)
            let first = try await api.send(.get, "/v1/contacts?fields=tags&expand=account&sort=last_name", as: admin)
            #expect(first.text.hasPrefix(#"{"data":[{"account":{"id":"#), "\(first.text)")
            #expect(try await api.send(.get, "/v1/accounts/\(account.id)?expand=parent", as: admin).json["parent"] == .null)
        }
    }

    @Test func whatIsDeletedOrNotTheCallersToReadIsNull() async throws {
        try await ResourceAPI.contacts { api in
            let admin = api.member()
            let sales = api.member(.sales)
            let blind = RequestContext(
                tenant: api.tenant, user: admin.user, role: "x",
                permissions: PermissionSet([Permission(.contacts, .read)]), scopes: admin.scopes, plan: "free", edge: admin.edge)
            let account = try await api.create(#"{"name":"A"}"#, at: "/v1/accounts", as: admin)
            let contact = try await api.create(
                #"{"last_name":"A","account_id":"\#(account.id)","owner_id":"\#(api.colleague)"}"#, as: admin)
            let colleague = api.member(.sales, user: api.colleague)
            for (caller, sees) in [(admin, true), (colleague, false), (blind, false)] {
                for target in ["/v1/contacts/\(contact.id)?expand=account", "/v1/contacts?expand=account"] {
                    let json = try await api.send(.get, target, as: caller).json
                    let shown = json["data"]?[0] ?? json
                    #expect(shown["account_id"]?.string == account.id)
                    #expect(shown["account"] == (sees ? account : .null), "\(target)")
                }
            }
            #expect(try await api.send(.get, "/v1/contacts/\(contact.id)?expand=account", as: sales).status == 404)
            #expect(try await api.send(.delete, "/v1/accounts/\(account.id)", as: admin).status == 204)
            let after = try await api.send(.get, "/v1/contacts?expand=account", as: admin)
            #expect(try after.column("account") == [.null])
            #expect(try after.column("account_id") == [.string(account.id)])
        }
    }

    @Test func anUnknownNameIsRefusedWithTheNearest() async throws {
        try await ResourceAPI.contacts { api in
            let admin = api.member()
            let contact = try await api.create(#"{"last_name":"A"}"#, as: admin).id
            for name in ["acount", "account,acount", "", "account_id", "account.parent", "tags", "owner_id", "created_by_member"] {
                for target in ["/v1/contacts/\(contact)?expand=\(name)", "/v1/contacts?expand=\(name)"] {
                    let reply = try await api.send(.get, target, as: admin)
                    #expect(reply.status == 400)
                    #expect(try reply.faults.first?.hasPrefix("?expand") == true, "\(reply.text)")
                    let names = "Expected one of account, owner, created_by, updated_by."
                    #expect(try reply.json["detail"]?.string?.contains(names) == true, "\(reply.text)")
                    if name == "acount" { #expect(reply.text.contains("Did you mean 'account'?")) }
                }
            }
        }
    }

    /// The tag of an expanded record changes with what is expanded, or a 304 would hide the change; a change of the record takes it.
    @Test func theTagChangesWithWhatIsExpanded() async throws {
        try await ResourceAPI.contacts { api in
            let admin = api.member()
            let account = try await api.create(#"{"name":"A"}"#, at: "/v1/accounts", as: admin)
            let contact = try await api.create(#"{"last_name":"A","account_id":"\#(account.id)"}"#, as: admin)
            let target = "/v1/contacts/\(contact.id)?expand=account"
            let tag = try #require(try await api.send(.get, target, as: admin).header("etag"))
            #expect(tag.hasPrefix("\"1-"))
            let same = try await api.send(.get, target, as: admin, headers: ["If-None-Match": tag])
            #expect(same.status == 304 && same.header("etag") == tag)
            _ = try await api.send(.patch, "/v1/accounts/\(account.id)", #"{"name":"B"}"#, as: admin)
            let changed = try await api.send(.get, target, as: admin, headers: ["If-None-Match": tag])
            #expect(changed.status == 200 && changed.header("etag") != tag)
            #expect(try changed.json["account"]?["name"] == "B")
            let path = "/v1/contacts/\(contact.id)"
            #expect(try await api.send(.patch, path, #"{"title":"x"}"#, as: admin, headers: ["If-Match": tag]).status == 200)
            #expect(try await api.send(.patch, path, #"{"title":"y"}"#, as: admin, headers: ["If-Match": tag]).status == 412)
            #expect(try await api.send(.get, path, as: admin).header("etag") == "\"2\"")
        }
    }

    /// Goal: a page of the largest accounts is bounded like one of the largest records.
    /// Method: 60 contacts of an account of 50,000 bytes, read to the end.
    @Test func aPageOfLargeExpandedRecordsEndsByItsBytes() async throws {
        try await ResourceAPI.contacts { api in
            let admin = api.member()
            let members = (0..<50).map { "\"key_\($0)\":\"\(String(repeating: "x", count: 1000))\"" }.joined(separator: ",")
            let account = try await api.create(#"{"name":"A","custom":{\#(members)}}"#, at: "/v1/accounts", as: admin)
            let operation = #"{"op":"create","body":{"last_name":"A","account_id":"\#(account.id)"}}"#
            let operations = Array(repeating: operation, count: 60).joined(separator: ",")
            _ = try await api.send(.post, "/v1/contacts/batch", #"{"operations":[\#(operations)]}"#, as: admin)
            var ids: [String] = []
            var next: String? = ""
            while let cursor = next {
                let after = cursor.isEmpty ? "" : "&after=\(cursor)"
                let page = try await api.send(.get, "/v1/contacts?limit=100&expand=account\(after)", as: admin)
                try #require(page.status == 200, "\(page.text.prefix(300))")
                #expect(page.body.count < 2 * BoundedPage.bytes)
                #expect(try page.column("account").allSatisfy { $0 == account })
                ids += try page.column("id").compactMap(\.string)
                next = try page.next
            }
            #expect(ids.count == 60 && Set(ids).count == 60)
        }
    }

    @Test func expandedListsAreReadOnLikeOthers() async throws {
        try await ResourceAPI.contacts { api in
            let admin = api.member()
            let account = try await api.create(#"{"name":"A"}"#, at: "/v1/accounts", as: admin)
            for index in 0..<5 {
                _ = try await api.create(#"{"last_name":"N\#(index)","account_id":"\#(account.id)"}"#, as: admin)
            }
            var names: [JSON] = []
            var next: String? = ""
            while let cursor = next {
                let after = cursor.isEmpty ? "" : "&after=\(cursor)"
                let page = try await api.send(
                    .get, "/v1/contacts?limit=2&sort=-last_name&account_id=\(account.id)&expand=account&count=exact\(after)", as: admin)
                #expect(try page.json["page"]?["total"] == 5)
                names += try page.column("last_name")
                next = try page.next
            }
            #expect(names == ["N4", "N3", "N2", "N1", "N0"])
            let found = try await api.send(.get, "/v1/contacts?q=n3&expand=account", as: admin)
            #expect(try found.column("account") == [account])
        }
    }

    @Test func theListOfAnAccountIsThatOfItsContacts() async throws {
        try await ResourceAPI.contacts { api in
            let admin = api.member()
            let route = api.resources[0].list(of: api.resources[1], by: "account_id")
            let account = try await api.create(#"{"name":"A"}"#, at: "/v1/accounts", as: admin).id
            let other = try await api.create(#"{"name":"B"}"#, at: "/v1/accounts", as: api.member()).id
            let contact = try await api.create(#"{"last_name":"A","account_id":"\#(account)"}"#, as: admin).id
            for name in ["A", "B"] { _ = try await api.create(#"{"last_name":"\#(name)","account_id":"\#(other)"}"#, as: admin) }
            func list(_ id: String, _ query: String = "", as caller: RequestContext? = nil) async throws -> Reply {
                try await api.send(.get, "/v1/accounts/\(id)/contacts\(query)", as: caller ?? admin, further: [route])
            }
            #expect(try await list(account).column("id") == [.string(contact)])
            let first = try await list(other, "?limit=1&sort=last_name&expand=account")
            #expect(try first.column("last_name") == ["A"])
            let next = try #require(try first.next)
            #expect(try await list(other, "?limit=1&sort=last_name&after=\(next)").column("last_name") == ["B"])
            #expect(try await list(account, "?limit=1&sort=last_name&after=\(next)").code == "invalid_cursor")
            for id in [
                RecordID().description, try await api.create(#"{"name":"A"}"#, at: "/v1/accounts", as: api.member(tenant: TenantID())).id,
            ] {
                #expect(try await list(id).status == 404)
            }
            #expect(try await list(account, as: api.member(.sales)).status == 404)
            #expect(try await list(account, "?nonsense=1").code == "unknown_parameter")
        }
    }
}

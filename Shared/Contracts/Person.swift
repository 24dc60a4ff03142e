import Core

/// A user as identity tells the tenant service who becomes a member.
public struct Person: Hashable, Sendable {
    public var id: UserID
    public var email: String
    public var name: String

    public init(id: UserID, email: String, name: String) {
        self.id = id
        self.email = email
        self.name = name
    }

    public var json: JSON { ["id": .string(id.description), "email": .string(email), "name": .string(name)] }

    /// `nil` when anything is missing or of another form.
    public init?(json: JSON?) {
        guard let id = json?["id"]?.string.flatMap({ UserID($0) }), let email = json?["email"]?.string, let name = json?["name"]?.string
        else { return nil }
        self.init(id: id, email: email, name: name)
    }
}

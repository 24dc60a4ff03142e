import Contracts
import Core
import Postgres

/// `POST /internal/operators`: makes a user an operator of the platform; asked by the command `operator create`.
///
/// The command asks the running service, so that it needs neither the database nor the rules of passwords itself.
struct OperatorRoute: Sendable {
    let registrations: RegistrationStore
    let users: UserStore
    let tenants: TenantDirectory
    let hasher: PasswordHasher
    let policy: PasswordPolicy

    static let path = "/internal/operators"

    var route: Route {
        .service(.post, Self.path) { call, context in
            let body = BodyReader(try call.json(), members: ["email", "name", "password"])
            let email = body.email("email")
            let name = body.text("name", maximum: 200)
            let password = body.string("password")
            if let password, let fault = policy.fault(of: password, email: email) {
                body.fault("password", fault.code, fault.detail)
            }
            let (user, isNew) = try await user(
                email: try body.require(email), name: try body.require(name), password: try body.require(password), as: context)
            let membership = try await tenants.appointOperator(user.person, as: context)
            if user.status == .registering { try await registrations.finish(user.id, as: context) }
            return .json(
                ["user": user.json, "created": .bool(isNew), "tenant": membership.tenantJSON, "role": .string(membership.role)])
        }
    }

    /// The user to appoint: a new one, or the one who has the address already, if the password typed is his.
    ///
    /// Anybody can register any address. Without the password, the platform would go to whoever was there first.
    private func user(email: EmailAddress, name: String, password: String, as context: SystemContext) async throws -> (User, isNew: Bool) {
        if let account = try await users.findAccount(email: email, as: context) {
            guard try await hasher.verify(password, against: account.passwordHash) else {
                throw Problem(
                    .conflict,
                    "There is an account with this e-mail address already, and its password is another one. Nothing was changed.")
            }
            return (account.user, false)
        }
        let hash = try await hasher.hash(password)
        if let pending = try await registrations.begin(email: email, name: name, hash: hash, organization: nil, as: context) {
            return (pending.user, true)
        }
        throw Problem(.conflict, "The same user was created at this moment; run the command again.")
    }
}

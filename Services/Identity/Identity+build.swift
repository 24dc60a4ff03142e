import Contracts
import Core
import Foundation
import Operations
import Postgres
import ServiceRuntime

/// Who someone is: users, passwords, sessions, signing keys.
public enum Identity {
    public static let definition = ServiceDefinition(
        name: .identity,
        // Always there: it is a resource of this module.
        migrations: Bundle.module.resourceURL!.appendingPathComponent("Migrations"), settings: IdentityConfiguration.settings,
        build: build)

    /// Puts the service together from its settings and what it runs on.
    ///
    /// - Throws: ``SettingError``.
    @Sendable public static func build(_ dependencies: ServiceDependencies) async throws -> ServiceParts {
        let configuration = try IdentityConfiguration(settings: dependencies.settings)
        let postgres = dependencies.postgres
        let users = UserStore(postgres: postgres)
        let sessions = SessionStore(postgres: postgres)
        let registrations = RegistrationStore(postgres: postgres)
        let attempts = SignInAttempts(
            postgres: postgres, accountLimit: configuration.signInAccountLimit, addressLimit: configuration.signInAddressLimit)
        let hasher = PasswordHasher(
            parameters: configuration.scrypt, concurrency: configuration.passwordThreads, queue: configuration.passwordQueue)
        let policy = PasswordPolicy(allowsDemoPassword: configuration.isDemo)
        let keys = SigningKeys(
            store: SigningKeyStore(postgres: postgres, seal: configuration.keySeal), rotationPeriod: configuration.keyRotationPeriod)
        let tenants = TenantDirectory(services: dependencies.services)
        let tokens = AccessTokenIssuer(issuer: configuration.issuer, audience: configuration.audience, keys: keys)
        let signIn = SignIn(sessions: sessions, tenants: tenants, tokens: tokens)
        let revoker = SessionRevoker(redis: dependencies.redis, logger: dependencies.logger)

        let routes = [
            Registration(store: registrations, users: users, hasher: hasher, policy: policy, signIn: signIn).route,
            Login(users: users, hasher: hasher, policy: policy, attempts: attempts, signIn: signIn).route,
            Refresh(signIn: signIn, users: users, revoker: revoker).route,
            Logout(sessions: sessions, revoker: revoker).route,
            SwitchTenant(users: users, signIn: signIn).route,
            PasswordChange(
                users: users, sessions: sessions, hasher: hasher, policy: policy, attempts: attempts, revoker: revoker,
                fingerprintKey: configuration.keySeal.derivedKey(for: "idempotency of password changes")
            ).route,
            JWKS(keys: keys).route,
            OperatorRoute(registrations: registrations, users: users, tenants: tenants, hasher: hasher, policy: policy).route,
        ]
        return ServiceParts(
            routes: routes + Me(users: users, tenants: tenants).routes
                + SessionRoutes(sessions: sessions, revoker: revoker, cursors: dependencies.cursors).routes,
            schemas: [
                ("User", User.schema), ("TenantSummary", Membership.tenantSchema), ("Me", Me.schema), ("Session", Session.schema),
            ],
            jobs: [
                SigningKeyRotation(keys: keys).job, RegistrationCompletion(store: registrations, tenants: tenants).job,
                IdentityHousekeeping(sessions: sessions, attempts: attempts).job,
            ])
    }
}

import Core

/// Makes sure that the database itself keeps tenants apart from each other; a service does not start when it does not.
public struct IsolationCheck: Sendable {
    private let client: PostgresClient
    private let schema: String

    /// Checks the role that the client connects as with the two that stand beside it (`…_system`, `…_search`), and the tables of
    /// the schema.
    public init(_ client: PostgresClient, schema: String) {
        self.client = client
        self.schema = schema
    }

    /// - Throws: ``IsolationFault`` with everything that was found, ``PostgresError`` when the server could not be asked.
    public func run(as context: SystemContext) async throws {
        let results = try await client.batch(as: context, [role, ownership, tables, policies])
        var faults: [String] = []
        for result in results {
            for row in result { faults.append(try row.decode(0)) }
        }
        if !faults.isEmpty { throw IsolationFault(faults: faults) }
    }

    private var role: SQL {
        """
        select 'role ' || rolname || ' ' || fault
        from pg_roles, lateral (values
            ('is a superuser', rolsuper), ('bypasses row security', rolbypassrls),
            ('may create in schema ' || \(schema)::text,
                coalesce(has_schema_privilege(rolname, (select oid from pg_namespace where nspname = \(schema)::text), 'create'), false)),
            ('does not find schema ' || \(schema)::text, not exists (select from pg_namespace where nspname = \(schema)::text))
        ) as faults (fault, is_present)
        where \(isOfService) and is_present
        order by 1
        """
    }

    /// Ownership also by a role whose member this one is: it could take that role on.
    private var ownership: SQL {
        """
        select format('role %s owns %I.%I or may become its owner', rolname, nspname, relname)
        from pg_class join pg_namespace on pg_namespace.oid = relnamespace, pg_roles
        where relkind in ('r', 'p', 'v', 'm', 'f') and \(isOfService) and not rolsuper and pg_has_role(rolname, relowner, 'member')
        order by 1
        """
    }

    /// The roles that the service's work is done as.
    private var isOfService: SQL { "rolname in (current_user, current_user || '_system', current_user || '_search')" }

    private var tables: SQL {
        """
        select format('table %I.%I %s', \(schema)::text, relname, fault)
        from pg_class, lateral (values
            ('has no row security enabled', not relrowsecurity),
            ('does not force row security', not relforcerowsecurity),
            ('has no policy that names its tenant in both using and with check', not exists (
                select from pg_policy
                where polrelid = pg_class.oid and polpermissive
                    and coalesce(pg_get_expr(polqual, polrelid), '') like '%app.tenant%'
                    and coalesce(pg_get_expr(polwithcheck, polrelid), '') like '%app.tenant%'))
        ) as faults (fault, is_present)
        where \(isTenantTable) and is_present
        order by 1
        """
    }

    /// Permissive policies add up, so one open one undoes the rest. The runtime role must have none that does not name the tenant.
    private var policies: SQL {
        """
        select format('policy %I on %I.%I is open to role %s', polname, \(schema)::text, relname, current_user)
        from pg_policy join pg_class on pg_class.oid = polrelid
        where \(isTenantTable) and polpermissive
            and exists (select from unnest(polroles) as role where role = 0 or pg_has_role(role, 'usage'))
            and (
                (polqual is not null and pg_get_expr(polqual, polrelid) not like '%app.tenant%')
                or (polwithcheck is not null and pg_get_expr(polwithcheck, polrelid) not like '%app.tenant%'))
        order by 1
        """
    }

    private var isTenantTable: SQL {
        """
        relnamespace = (select oid from pg_namespace where nspname = \(schema)::text) and relkind in ('r', 'p')
            and exists (
                select from pg_attribute where attrelid = pg_class.oid and attname = 'tenant_id' and attnum > 0 and not attisdropped)
        """
    }
}

/// What in the database does not keep tenants apart.
public struct IsolationFault: Error, CustomStringConvertible {
    /// One sentence each, naming the role, table or policy.
    public var faults: [String]
    public var description: String { "the database does not isolate tenants: \(faults.joined(separator: "; "))" }
}

import Core

/// Makes sure that the database itself keeps tenants apart from each other; a service does not start when it does not.
public struct IsolationCheck: Sendable {
    private let client: PostgresClient
    private let schema: String

    /// Checks the role that the client connects as with the two that stand beside it (`…_system`, `…_search`), and what is in
    /// the schema.
    public init(_ client: PostgresClient, schema: String) {
        self.client = client
        self.schema = schema
    }

    /// - Throws: ``IsolationFault`` with everything that was found, ``PostgresError`` when the server could not be asked.
    public func run(as context: SystemContext) async throws {
        let results = try await client.batch(
            as: context, [role, memberships, ownership, rights, tables, policies, foreignKeys, views, functions])
        var faults: [String] = []
        for result in results {
            for row in result { faults.append(try row.decode(0)) }
        }
        if !faults.isEmpty { throw IsolationFault(faults: faults) }
    }

    // MARK: Roles

    private var role: SQL {
        """
        select 'role ' || rolname || ' ' || fault
        from pg_roles, lateral (values
            ('is a superuser', rolsuper), ('bypasses row security', rolbypassrls),
            ('may create in schema ' || \(schema)::text, coalesce(has_schema_privilege(rolname, \(schemaID), 'create'), false)),
            ('does not find schema ' || \(schema)::text, \(schemaID) is null)
        ) as faults (fault, is_present)
        where \(isOfService) and is_present
        order by 1
        """
    }

    /// The policies of the roles beside it are open: whoever serves requests must not be able to act as one of them.
    private var memberships: SQL {
        """
        select format('role %s may act as %s', own.rolname, other.rolname)
        from pg_roles as own, pg_roles as other
        where own.rolname = current_user and not own.rolsuper
            and other.rolname in (current_user || '_system', current_user || '_search') and pg_has_role(own.oid, other.oid, 'member')
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

    /// Row security binds none of these: to empty a table, to ask by a foreign key which rows there are, to run code in the writes
    /// of others.
    private var rights: SQL {
        """
        select format('role %s has the right to %s table %I.%I', rolname, privilege, \(schema)::text, relname)
        from pg_class, pg_roles, unnest(array['truncate', 'references', 'trigger']) as privilege
        where \(isTenantTable) and \(isOfService) and not rolsuper and has_table_privilege(rolname, pg_class.oid, privilege)
        order by 1
        """
    }

    // MARK: Tables and policies

    private var tables: SQL {
        """
        select format('table %I.%I %s', \(schema)::text, relname, fault)
        from pg_class, lateral (values
            ('has no row security enabled', not relrowsecurity),
            ('does not force row security', not relforcerowsecurity),
            ('has no policy that names its tenant in both using and with check', not exists (
                select from pg_policy
                where polrelid = pg_class.oid and polpermissive and polcmd = '*' and \(isForService)
                    and \(namesTenant("polqual")) and \(namesTenant("polwithcheck"))))
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
        where \(isTenantTable) and polpermissive and \(isForService)
            and not (coalesce(\(namesTenant("polqual")), true) and coalesce(\(namesTenant("polwithcheck")), true))
        order by 1
        """
    }

    private var isForService: SQL { "exists (select from unnest(polroles) as role where role = 0 or pg_has_role(role, 'usage'))" }

    /// The whole condition as the server spells it, not a word of it: that `tenant_id` is the one of the setting, and nothing else.
    /// Null where the policy has no such condition. The name that the server gives the sub-select's column means nothing.
    private func namesTenant(_ expression: String) -> SQL {
        """
        replace(pg_get_expr(\(unescaped: expression), polrelid), ' AS "nullif"', '')
            = '(tenant_id = ( SELECT (NULLIF(current_setting(''app.tenant''::text, true), ''''::text))::uuid))'
        """
    }

    /// A link across tenants cannot exist when the tenant is a part of it, on both sides.
    private var foreignKeys: SQL {
        """
        select format('foreign key %I of %I.%I does not lead from tenant_id to tenant_id', conname, \(schema)::text, relname)
        from pg_constraint join pg_class on pg_class.oid = conrelid
        where contype = 'f' and relnamespace = \(schemaID) and (\(hasTenant("conrelid")) or \(hasTenant("confrelid")))
            and not exists (
                select from pg_attribute as own, pg_attribute as other
                where own.attrelid = conrelid and own.attnum = conkey[1] and own.attname = 'tenant_id'
                    and other.attrelid = confrelid and other.attnum = confkey[1] and other.attname = 'tenant_id')
        order by 1
        """
    }

    // MARK: What runs as somebody else

    /// A view reads as its owner unless it says otherwise, and what a materialized one keeps is under no row security.
    private var views: SQL {
        """
        select format('view %I.%I %s', \(schema)::text, relname, case relkind when 'v' then 'does not read as its caller' else 'keeps rows' end)
        from pg_class
        where relnamespace = \(schemaID) and relkind in ('v', 'm')
            and not (relkind = 'v' and coalesce(reloptions && array['security_invoker=true', 'security_invoker=on'], false))
        order by 1
        """
    }

    /// A function that runs as its owner runs as the search role or the schema's owner, with names that mean the same whoever calls, and
    /// only for those it was given to. A trigger's function cannot be called.
    private var functions: SQL {
        """
        select format('function %s %s', pg_proc.oid::regprocedure, fault)
        from pg_proc, lateral (values
            ('runs as ' || pg_get_userbyid(proowner), proowner <> (select nspowner from pg_namespace where oid = pronamespace)
                and pg_get_userbyid(proowner) <> current_user || '_search'),
            ('runs with the search path of its caller', not coalesce(proconfig @> array['search_path=""'], false)),
            ('may be called by everybody', prorettype <> 'trigger'::regtype and exists (
                select from aclexplode(coalesce(proacl, acldefault('f', proowner))) where grantee = 0 and privilege_type = 'EXECUTE'))
        ) as faults (fault, is_present)
        where pronamespace = \(schemaID) and prosecdef and is_present
        order by 1
        """
    }

    // MARK: Parts of these

    /// The roles that the service's work is done as.
    private var isOfService: SQL { "rolname in (current_user, current_user || '_system', current_user || '_search')" }

    private var schemaID: SQL { "(select oid from pg_namespace where nspname = \(schema)::text)" }

    private var isTenantTable: SQL { "relnamespace = \(schemaID) and relkind in ('r', 'p') and \(hasTenant("pg_class.oid"))" }

    private func hasTenant(_ table: String) -> SQL {
        """
        exists (
            select from pg_attribute
            where attrelid = \(unescaped: table) and attname = 'tenant_id' and attnum > 0 and not attisdropped)
        """
    }
}

/// What in the database does not keep tenants apart.
public struct IsolationFault: Error, CustomStringConvertible {
    /// One sentence each, naming the role, table or policy.
    public var faults: [String]
    public var description: String { "the database does not isolate tenants: \(faults.joined(separator: "; "))" }
}

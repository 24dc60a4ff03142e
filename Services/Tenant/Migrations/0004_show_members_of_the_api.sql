-- The trail shows what the API shows: a member has one id, and epochs are the gateways' business.
call audited('tenant', 'tenant', 'epoch', 'epoch_changed_at');
call audited('member', 'member', 'user_id', 'epoch', 'epoch_changed_at');

-- No plan limits tickets.
drop trigger plan_limit on ticket;

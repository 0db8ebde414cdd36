#!/usr/bin/env bash
# What a cursor over changes costs each write: nothing, a transaction id in the row, or a counter row for each user.
# Needs psql and pgbench, and a server of its own: PGHOST=… PGPORT=… PGUSER=… PGDATABASE=scratch tests/bench/cursors.sh
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
active="users.id = md5(:u::text)::uuid and is_active and v = 0 and not exists (
  select from denied where user_id = md5(:u::text)::uuid and denied.id = '00000000-0000-0000-0000-000000000001')"
mine="user_id = md5(:u::text)::uuid"

psql -qX -v ON_ERROR_STOP=1 <<'SQL'
drop table if exists tasks, denied, counters, users;
create table users (id uuid primary key, v int default 0, is_active bool default true);
create table denied (user_id uuid references users on delete cascade, id uuid, primary key (user_id, id));
create table tasks (id uuid, user_id uuid references users on delete cascade, title varchar(200) not null,
  status varchar(16) not null, version int not null default 1, created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(), changed xid8 not null default '0', n bigint not null default 0,
  primary key (user_id, id));
create index on tasks (user_id, created_at desc, id desc);
create index on tasks (user_id, status, created_at desc, id desc);
create table counters (user_id uuid primary key references users on delete cascade, n bigint not null) with (fillfactor = 50);
insert into users select md5(i::text)::uuid from generate_series(1, 1000) i;
insert into counters select id, 0 from users;
insert into tasks (id, user_id, title, status) select md5(u || '-' || i)::uuid, md5(u::text)::uuid, 'A task', 'pending'
  from generate_series(1, 1000) u, generate_series(1, 50) i;
vacuum analyze;
SQL

write() { printf '\\set u random(1, :users)\n\\set i random(1, 50)\n%s;\n' "$2" > "$folder/$1.sql"; }
create() { echo "insert into tasks (id, user_id, title, status$2) select gen_random_uuid(), users.id, 'A task', 'pending'$3
  from users$4 where $active on conflict do nothing returning id, version"; }
change() { echo "with a as (select 1 from users where $active)$2, w as (update tasks set status = 'completed',
  version = version + 1, updated_at = now()$3 where $mine and id = md5(:u || '-' || :i)::uuid and exists (select from a)
  returning tasks.*) select w.* from a left join w on true"; }
raise="update counters set n = n + 1 where $mine returning n"
write create-none "$(create none '' '' '')"
write create-id "$(create id ', changed' ', pg_current_xact_id()' '')"
write create-counter "with c as ($raise) $(create counter ', n' ', c.n' ', c')"
write change-none "$(change none '' '')"
write change-id "$(change id '' ', changed = pg_current_xact_id()')"
write change-counter "$(change counter ", c as ($raise)" ', n = (select n from c)')"

for users in 1000 1; do
  for round in 1 2; do
    for what in {create,change}-{none,id,counter}; do
      psql -qX -c 'vacuum tasks' -c 'vacuum counters'
      speed=$(pgbench -n -M prepared -D users=$users -c 8 -j 1 -T "${SECONDS_EACH:-5}" -f "$folder/$what.sql" | grep ^tps)
      echo "$users users, $what: $speed"
    done
  done
done

-- Every statement as it is run, under the file and the name where it is made; `make sql` writes this anew.
-- The list and the update of tasks have many shapes: here stands each filter, each order and each field once.

-- app/accounts/moving_repository.py INSERT_USERS
WITH moved_in AS (INSERT INTO users (id, email, name, password_hash, created_at, updated_at) SELECT unnest(%(user_ids)s::UUID[]) AS id,
    unnest(%(emails)s::VARCHAR[]) AS email, unnest(%(names)s::VARCHAR[]) AS name,
    unnest(%(hashes)s::VARCHAR[]) AS password_hash, unnest(%(created)s::TIMESTAMP WITH TIME ZONE[]) AS created_at,
    %(now)s::TIMESTAMP WITH TIME ZONE AS updated_at ON CONFLICT (email) DO NOTHING RETURNING users.id),
    state AS (INSERT INTO user_state (user_id) SELECT moved_in.id AS id FROM moved_in)
SELECT moved_in.id
FROM moved_in;

-- app/accounts/moving_repository.py SELECT_TAKEN
SELECT users.email, users.id
FROM users
WHERE users.email = ANY (%(emails)s::VARCHAR[]);

-- app/accounts/moving_repository.py EXPORT_ACCOUNT
SELECT users.id, users.email, users.name, users.created_at, users.updated_at, users.email_verified_at,
    user_state.is_active
FROM users, user_state
WHERE users.id = %(user_id)s::UUID
  AND user_state.user_id = %(user_id)s::UUID;

-- app/accounts/repository.py INSERT_USER
WITH made AS (INSERT INTO users (id, email, name, password_hash, created_at, updated_at) VALUES (%(user_id)s::UUID,
    %(email)s::VARCHAR, %(name)s::VARCHAR, %(new_hash)s::VARCHAR, %(now)s::TIMESTAMP WITH TIME ZONE,
    %(now)s::TIMESTAMP WITH TIME ZONE) ON CONFLICT (email) DO NOTHING RETURNING users.id, users.email, users.name,
    users.created_at), state AS (INSERT INTO user_state (user_id) SELECT made.id AS id FROM made)
SELECT made.id, made.email, made.name, made.created_at
FROM made;

-- app/accounts/repository.py SELECT_ACCOUNT
SELECT true AS known, users.id, users.email, users.name, users.created_at, users.password_hash, users.password_version
FROM users
WHERE users.email = %(email)s::VARCHAR
UNION ALL
SELECT false, %(dummy_id)s::UUID AS anon_1, %(email)s::VARCHAR AS anon_2, CAST(NULL AS VARCHAR) AS anon_3,
    %(dummy_created_at)s::TIMESTAMP WITH TIME ZONE AS anon_4, %(dummy_hash)s::VARCHAR AS anon_5, 0
LIMIT 1;

-- app/accounts/repository.py SELECT_USERS
SELECT users.id, users.email, users.name, users.created_at
FROM users
WHERE users.email > %(after)s::VARCHAR
ORDER BY users.email
LIMIT %(limit)s::INTEGER;

-- app/accounts/repository.py UPDATE_PASSWORD_HASH
UPDATE users
SET password_hash=%(new_hash)s::VARCHAR
WHERE users.id = %(user_id)s::UUID
  AND users.password_hash = %(old_hash)s::VARCHAR
RETURNING users.id;

-- app/accounts/repository.py UPDATE_NAME
UPDATE users
SET name=%(name)s::VARCHAR, updated_at=%(now)s::TIMESTAMP
WITH TIME ZONE
WHERE users.id = %(user_id)s::UUID
  AND users.password_version = %(password_version)s::INTEGER
RETURNING users.id, users.email, users.name, users.created_at;

-- app/accounts/repository.py CHANGE_STATE
UPDATE user_state
SET token_version=(user_state.token_version + 1), password_version=(user_state.password_version + 1)
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(session_id)s::UUID
        AND token_denylist.reason != 'active'
  ))
  AND user_state.password_version = %(password_version)s::INTEGER
RETURNING user_state.user_id, user_state.is_active, user_state.token_version;

-- app/accounts/repository.py RESET_STATE
UPDATE user_state
SET token_version=(user_state.token_version + 1), password_version=(user_state.password_version + 1),
    passkey_version=(user_state.passkey_version + 1)
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active
  AND user_state.password_version = %(password_version)s::INTEGER
RETURNING user_state.user_id, user_state.is_active, user_state.token_version;

-- app/accounts/repository.py UPDATE_PASSWORD
UPDATE users
SET password_hash=%(new_hash)s::VARCHAR, password_version=(%(password_version)s::INTEGER + 1),
    updated_at=%(now)s::TIMESTAMP
WITH TIME ZONE
WHERE users.id = %(user_id)s::UUID
  AND users.password_version = %(password_version)s::INTEGER
RETURNING users.id;

-- app/accounts/repository.py UPDATE_PASSWORD_BY_MAIL
UPDATE users
SET password_hash=%(new_hash)s::VARCHAR, password_version=(%(password_version)s::INTEGER + 1),
    email_verified_at=%(now)s::TIMESTAMP
WITH TIME ZONE, updated_at=%(now)s::TIMESTAMP
WITH TIME ZONE
WHERE users.id = %(user_id)s::UUID
  AND users.password_version = %(password_version)s::INTEGER
  AND users.email = %(email)s::VARCHAR
RETURNING users.id;

-- app/accounts/repository.py SELECT_EMAIL
SELECT users.email, users.password_version
FROM users, user_state
WHERE users.id = %(user_id)s::UUID
  AND user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active;

-- app/accounts/repository.py LEAVE
UPDATE user_state
SET is_active=false, token_version=(user_state.token_version + 1), leaving=true
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(session_id)s::UUID
        AND token_denylist.reason != 'active'
  ))
  AND user_state.password_version = %(password_version)s::INTEGER
RETURNING user_state.user_id, user_state.is_active, user_state.token_version;

-- app/accounts/repository.py DELETE_STATE
DELETE FROM user_state
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.leaving
RETURNING user_state.user_id;

-- app/accounts/repository.py DELETE_USER
DELETE FROM users
WHERE users.id = %(user_id)s::UUID
RETURNING users.id;

-- app/accounts/repository.py SELECT_LEAVING
SELECT user_state.user_id
FROM user_state
WHERE user_state.leaving
LIMIT %(limit)s::INTEGER;

-- app/accounts/repository.py SELECT_STATE
SELECT user_state.user_id, user_state.is_active, user_state.token_version
FROM user_state
WHERE user_state.user_id = %(user_id)s::UUID;

-- app/accounts/repository.py SELECT_STATES
SELECT user_state.user_id, user_state.is_active, user_state.token_version
FROM user_state
WHERE user_state.user_id = ANY (%(user_ids)s::UUID[]);

-- app/accounts/repository.py END_SESSIONS_OF
UPDATE user_state
SET token_version=(user_state.token_version + 1)
WHERE user_state.user_id = %(user_id)s::UUID
RETURNING user_state.user_id, user_state.is_active, user_state.token_version;

-- app/accounts/repository.py UPDATE_ACTIVE
UPDATE user_state
SET is_active=%(is_active)s, token_version=(user_state.token_version + 1)
WHERE user_state.user_id = %(user_id)s::UUID
  AND NOT user_state.leaving
RETURNING user_state.user_id, user_state.is_active, user_state.token_version;

-- app/accounts/repository.py LEAVE_FOR_OPERATOR
UPDATE user_state
SET is_active=false, token_version=(user_state.token_version + 1), leaving=true
WHERE user_state.user_id = %(user_id)s::UUID
RETURNING user_state.user_id, user_state.is_active, user_state.token_version;

-- app/accounts/repository.py END_EVERY_SESSION
UPDATE user_state
SET token_version = greatest(token_version + 1,
    floor(extract(epoch FROM statement_timestamp() - timestamptz '2020-01-01 00:00Z'))::int);

-- app/auth/active_session.py LOCK_USER
SELECT user_state.user_id
FROM user_state
WHERE user_state.user_id = %(user_id)s::UUID
FOR NO KEY UPDATE;

-- app/auth/active_session.py SELECT_ACTIVE_USER
SELECT users.id, users.email, users.name, users.created_at
FROM users, user_state
WHERE users.id = %(user_id)s::UUID
  AND user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(session_id)s::UUID
        AND token_denylist.reason != 'active'
  ));

-- app/auth/active_session.py SELECT_CREDENTIALS
SELECT users.id, users.email, users.password_hash, users.password_version
FROM users, user_state
WHERE users.id = %(user_id)s::UUID
  AND user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(session_id)s::UUID
        AND token_denylist.reason != 'active'
  ));

-- app/core/rate_limits/database.py HIT
INSERT INTO rate_limit_counters (key, count, expires_at)
VALUES (%(key)s, 1, %(window_end)s::TIMESTAMP WITH TIME ZONE)
ON CONFLICT (key) DO UPDATE SET count = CASE
    WHEN (rate_limit_counters.expires_at <= %(now)s::TIMESTAMP WITH TIME ZONE) THEN 1
    ELSE rate_limit_counters.count + 1 END, expires_at = CASE
    WHEN (rate_limit_counters.expires_at <= %(now)s::TIMESTAMP WITH TIME ZONE) THEN %(window_end)s::TIMESTAMP WITH TIME ZONE
    ELSE rate_limit_counters.expires_at END
WHERE rate_limit_counters.expires_at <= %(now)s::TIMESTAMP WITH TIME ZONE
  OR rate_limit_counters.count < %(amount)s::INTEGER
RETURNING rate_limit_counters.expires_at;

-- app/core/rate_limits/database.py SELECT_WINDOW_END
SELECT rate_limit_counters.expires_at
FROM rate_limit_counters
WHERE rate_limit_counters.key = %(key)s;

-- app/core/rate_limits/database.py GIVE_BACK
UPDATE rate_limit_counters
SET count=(rate_limit_counters.count - 1)
WHERE rate_limit_counters.key = %(key)s
  AND rate_limit_counters.count > 0
RETURNING rate_limit_counters.count;

-- app/core/rate_limits/database.py CLEAR
DELETE FROM rate_limit_counters
WHERE rate_limit_counters.key = %(key)s
RETURNING rate_limit_counters.count;

-- app/core/rate_limits/database.py PRUNE
DELETE FROM rate_limit_counters
WHERE rate_limit_counters.key >= %(first)s
  AND rate_limit_counters.key < %(end)s
  AND rate_limit_counters.expires_at <= %(now)s::TIMESTAMP WITH TIME ZONE
RETURNING rate_limit_counters.count;

-- app/live/hints.py NOTIFY
SELECT set_config('synchronous_commit', 'off', true) || CAST(pg_notify('tasks', CAST(%(payload)s AS text)) AS text) AS sent;

-- app/mail/repository.py SELECT_ADDRESS
SELECT users.email, users.email_verified_at AS verified_at
FROM users, user_state
WHERE users.id = %(user_id)s::UUID
  AND user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(session_id)s::UUID
        AND token_denylist.reason != 'active'
  ));

-- app/mail/repository.py VERIFY
UPDATE users
SET email_verified_at=coalesce(users.email_verified_at, %(now)s::TIMESTAMP WITH TIME ZONE),
    updated_at=%(now)s::TIMESTAMP
WITH TIME ZONE
WHERE users.id = %(user_id)s::UUID
  AND users.email = %(email)s::VARCHAR
  AND users.password_version = %(password_version)s::INTEGER
RETURNING users.email, users.email_verified_at AS verified_at;

-- app/mail/repository.py CHANGE
UPDATE users
SET email=%(new_email)s::VARCHAR, email_verified_at=%(now)s::TIMESTAMP
WITH TIME ZONE, updated_at=%(now)s::TIMESTAMP
WITH TIME ZONE
WHERE users.id = %(user_id)s::UUID
  AND users.email = %(email)s::VARCHAR
  AND users.password_version = %(password_version)s::INTEGER
RETURNING users.email, users.email_verified_at AS verified_at;

-- app/passkeys/going_repository.py DELETE_ALL
DELETE FROM passkeys
WHERE passkeys.user_id = %(user_id)s::UUID
RETURNING passkeys.id;

-- app/passkeys/going_repository.py EXPORT_PASSKEYS
SELECT translate(encode(passkeys.id, 'base64'), '+/=' || chr(10), '-_') AS id, passkeys.name, passkeys.created_at,
    passkeys.last_used_at, passkeys.synced
FROM passkeys
WHERE passkeys.user_id = %(user_id)s::UUID
ORDER BY passkeys.created_at, passkeys.id;

-- app/passkeys/repository.py SELECT_FOR_SIGN_IN
SELECT users.id, users.email, users.name, users.created_at, passkeys.public_key, passkeys.passkey_version
FROM users, passkeys, user_state
WHERE users.id = %(user_id)s::UUID
  AND user_state.is_active
  AND passkeys.user_id = %(user_id)s::UUID
  AND user_state.user_id = %(user_id)s::UUID
  AND passkeys.passkey_version = user_state.passkey_version
  AND passkeys.id = %(passkey_id)s;

-- app/passkeys/repository.py SELECT_OWN
WITH active_session AS (
    SELECT 1 AS one, user_state.tableoid::bigint AS place
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
)
SELECT work.id IS NOT NULL AS found, work.id, work.public_key
FROM active_session
LEFT OUTER JOIN (
    SELECT passkeys.id AS id, passkeys.public_key AS public_key
    FROM passkeys, user_state
    WHERE passkeys.user_id = %(user_id)s::UUID
      AND user_state.user_id = %(user_id)s::UUID
      AND passkeys.passkey_version = user_state.passkey_version
      AND passkeys.id = %(passkey_id)s
) AS work ON true;

-- app/passkeys/repository.py LIST
WITH active_session AS (
    SELECT 1 AS one, user_state.tableoid::bigint AS place
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
)
SELECT work.id IS NOT NULL AS found, work.id, work.name, work.created_at, work.last_used_at, work.synced
FROM active_session
LEFT OUTER JOIN (
    SELECT translate(encode(passkeys.id, 'base64'), '+/=' || chr(10), '-_') AS id, passkeys.name AS name,
        passkeys.created_at AS created_at, passkeys.last_used_at AS last_used_at, passkeys.synced AS synced
    FROM passkeys, user_state
    WHERE passkeys.user_id = %(user_id)s::UUID
      AND user_state.user_id = %(user_id)s::UUID
      AND passkeys.passkey_version = user_state.passkey_version
    ORDER BY passkeys.created_at, passkeys.id
) AS work ON true;

-- app/passkeys/repository.py USE_CHALLENGE
INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at)
SELECT %(challenge_id)s::UUID AS id, %(challenge_id)s::UUID AS session_id, user_state.user_id AS user_id,
    'challenge' AS reason, %(now)s::TIMESTAMP WITH TIME ZONE AS denied_at,
    %(expires_at)s::TIMESTAMP WITH TIME ZONE AS expires_at
FROM user_state
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.is_active
  AND user_state.passkey_version = %(proven_version)s::INTEGER
FOR KEY SHARE OF user_state
ON CONFLICT (user_id, id) DO NOTHING
RETURNING token_denylist.id;

-- app/passkeys/repository.py USE_CHALLENGE_IN_SESSION
INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at)
SELECT %(challenge_id)s::UUID AS id, %(challenge_id)s::UUID AS session_id, user_state.user_id AS user_id,
    'challenge' AS reason, %(now)s::TIMESTAMP WITH TIME ZONE AS denied_at,
    %(expires_at)s::TIMESTAMP WITH TIME ZONE AS expires_at
FROM user_state
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(session_id)s::UUID
        AND token_denylist.reason != 'active'
  ))
ON CONFLICT (user_id, id) DO NOTHING
RETURNING token_denylist.id;

-- app/passkeys/repository.py SELECT_USED
WITH active_session AS (
    SELECT 1 AS one, user_state.tableoid::bigint AS place
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
)
SELECT work.id IS NOT NULL AS found, work.id
FROM active_session
LEFT OUTER JOIN (
    SELECT token_denylist.id AS id
    FROM token_denylist
    WHERE token_denylist.user_id = %(user_id)s::UUID
      AND token_denylist.id = %(challenge_id)s::UUID
) AS work ON true;

-- app/passkeys/repository.py COUNT_USE
UPDATE passkeys
SET sign_count=%(sign_count)s::BIGINT, synced=%(synced)s, last_used_at=%(now)s::TIMESTAMP
WITH TIME ZONE
WHERE passkeys.user_id = %(user_id)s::UUID
  AND passkeys.id = %(passkey_id)s
  AND (passkeys.sign_count < %(sign_count)s::BIGINT OR passkeys.sign_count = 0 AND %(sign_count)s::BIGINT = 0)
RETURNING passkeys.user_id;

-- app/passkeys/repository.py HAS_FALLEN_BEHIND
SELECT passkeys.user_id
FROM passkeys
WHERE passkeys.user_id = %(user_id)s::UUID
  AND passkeys.id = %(passkey_id)s
  AND NOT (passkeys.sign_count < %(sign_count)s::BIGINT OR passkeys.sign_count = 0 AND %(sign_count)s::BIGINT = 0);

-- app/passkeys/repository.py BEGIN
INSERT INTO sessions (user_id, id, created_at, device, token_version)
SELECT user_state.user_id AS user_id, %(session_id)s::UUID AS id, %(now)s::TIMESTAMP WITH TIME ZONE AS created_at,
    %(device)s::VARCHAR AS device, user_state.token_version AS token_version
FROM user_state
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.is_active
  AND user_state.passkey_version = %(proven_version)s::INTEGER
FOR KEY SHARE OF user_state
RETURNING sessions.token_version;

-- app/passkeys/repository.py INSERT
INSERT INTO passkeys (user_id, id, public_key, sign_count, name, synced, passkey_version, created_at)
SELECT user_state.user_id AS user_id, %(passkey_id)s AS id, %(public_key)s AS public_key,
    %(sign_count)s::BIGINT AS sign_count, %(name)s::VARCHAR AS name, %(synced)s AS synced,
    user_state.passkey_version AS passkey_version, %(now)s::TIMESTAMP WITH TIME ZONE AS created_at
FROM user_state
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(session_id)s::UUID
        AND token_denylist.reason != 'active'
  ))
  AND (
      SELECT count(*) AS count_1
      FROM passkeys
      WHERE passkeys.user_id = %(user_id)s::UUID
        AND passkeys.passkey_version = user_state.passkey_version
  ) < 10
ON CONFLICT (user_id, id) DO UPDATE SET public_key = excluded.public_key, sign_count = excluded.sign_count,
    name = excluded.name, synced = excluded.synced, passkey_version = excluded.passkey_version,
    created_at = excluded.created_at
WHERE passkeys.passkey_version < excluded.passkey_version
RETURNING passkeys.created_at;

-- app/passkeys/repository.py DELETE
WITH active_session AS (
    SELECT 1 AS one, user_state.tableoid::bigint AS place
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
),
work AS (
    DELETE FROM passkeys
    WHERE passkeys.user_id = %(user_id)s::UUID
      AND passkeys.id = %(passkey_id)s
      AND (EXISTS (
          SELECT *
          FROM active_session
      ))
    RETURNING passkeys.id
)
SELECT work.id IS NOT NULL AS found, work.id
FROM active_session
LEFT OUTER JOIN work ON true;

-- app/script_tokens/repository.py COUNT
WITH active_session AS (
    SELECT 1 AS one, user_state.tableoid::bigint AS place
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
)
SELECT work.tokens IS NOT NULL AS found, work.tokens
FROM active_session
LEFT OUTER JOIN (
    SELECT count(*) AS tokens
    FROM sessions
    WHERE sessions.user_id = %(user_id)s::UUID
      AND sessions.kind = 'script'
      AND sessions.token_version = %(token_version)s::INTEGER
      AND sessions.expires_at > %(now)s::TIMESTAMP WITH TIME ZONE
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = sessions.id
            AND token_denylist.reason != 'active'
      ))
) AS work ON true;

-- app/script_tokens/repository.py BEGIN_SCRIPT
INSERT INTO sessions (user_id, id, created_at, device, token_version, kind, scopes, expires_at)
SELECT user_state.user_id AS user_id, %(script_id)s::UUID AS id, %(now)s::TIMESTAMP WITH TIME ZONE AS created_at,
    %(name)s::VARCHAR AS device, user_state.token_version AS token_version, 'script' AS kind,
    %(scopes)s::VARCHAR[] AS scopes, %(expires_at)s::TIMESTAMP WITH TIME ZONE AS expires_at
FROM user_state
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(session_id)s::UUID
        AND token_denylist.reason != 'active'
  ))
  AND user_state.password_version = %(password_version)s::INTEGER
  AND (
      SELECT count(*) AS tokens
      FROM sessions
      WHERE sessions.user_id = %(user_id)s::UUID
        AND sessions.kind = 'script'
        AND sessions.token_version = %(token_version)s::INTEGER
        AND sessions.expires_at > %(now)s::TIMESTAMP WITH TIME ZONE
        AND NOT (EXISTS (
            SELECT *
            FROM token_denylist
            WHERE token_denylist.user_id = %(user_id)s::UUID
              AND token_denylist.id = sessions.id
              AND token_denylist.reason != 'active'
        ))
  ) < 20
RETURNING sessions.id;

-- app/sessions/denylist.py END_SESSION
INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at)
SELECT %(session_id)s::UUID AS id, %(session_id)s::UUID AS session_id, user_state.user_id AS user_id,
    'signed_out' AS reason, %(now)s::TIMESTAMP WITH TIME ZONE AS denied_at,
    %(expires_at)s::TIMESTAMP WITH TIME ZONE AS expires_at
FROM user_state
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
FOR KEY SHARE OF user_state
ON CONFLICT (user_id, id) DO UPDATE SET reason = excluded.reason, denied_at = excluded.denied_at,
    expires_at = greatest(token_denylist.expires_at, excluded.expires_at)
WHERE token_denylist.reason = 'active'
RETURNING token_denylist.id;

-- app/sessions/denylist.py END_REUSED
INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at)
SELECT %(session_id)s::UUID AS id, %(session_id)s::UUID AS session_id, user_state.user_id AS user_id, 'reused' AS reason,
    %(now)s::TIMESTAMP WITH TIME ZONE AS denied_at, %(expires_at)s::TIMESTAMP WITH TIME ZONE AS expires_at
FROM user_state
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(session_id)s::UUID
        AND token_denylist.reason != 'active'
  )) FOR SHARE OF user_state
ON CONFLICT (user_id, id) DO UPDATE SET reason = excluded.reason, denied_at = excluded.denied_at,
    expires_at = greatest(token_denylist.expires_at, excluded.expires_at)
WHERE token_denylist.reason = 'active'
RETURNING token_denylist.id;

-- app/sessions/denylist.py END_EXPIRED
INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at)
SELECT %(session_id)s::UUID AS id, %(session_id)s::UUID AS session_id, user_state.user_id AS user_id,
    'signed_out' AS reason, %(now)s::TIMESTAMP WITH TIME ZONE AS denied_at,
    %(expires_at)s::TIMESTAMP WITH TIME ZONE AS expires_at
FROM user_state
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(session_id)s::UUID
        AND token_denylist.reason != 'active'
  )) FOR SHARE OF user_state
ON CONFLICT (user_id, id) DO UPDATE SET reason = excluded.reason, denied_at = excluded.denied_at,
    expires_at = greatest(token_denylist.expires_at, excluded.expires_at)
WHERE token_denylist.reason = 'active'
RETURNING token_denylist.id;

-- app/sessions/denylist.py DELETE_SOME
DELETE FROM token_denylist
WHERE token_denylist.user_id = %(user_id)s::UUID
  AND token_denylist.id = ANY (array((
      SELECT token_denylist.id
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
      LIMIT %(batch)s::INTEGER
  )))
RETURNING token_denylist.id;

-- app/sessions/denylist.py PRUNE_USER
DELETE FROM token_denylist
WHERE token_denylist.user_id = %(user_id)s::UUID
  AND token_denylist.expires_at <= now()
RETURNING token_denylist.id;

-- app/sessions/denylist.py SELECT_USER_IDS
SELECT users.id
FROM users
WHERE users.id > %(after)s::UUID
ORDER BY users.id
LIMIT %(batch)s::INTEGER;

-- app/sessions/denylist.py PRUNE
DELETE FROM token_denylist
WHERE token_denylist.user_id = ANY (%(user_ids)s::UUID[])
  AND token_denylist.expires_at <= now()
RETURNING token_denylist.id;

-- app/sessions/denylist.py COUNT
SELECT CASE
    WHEN (
        SELECT reltuples
        FROM pg_class
        WHERE oid = 'token_denylist'::regclass
    ) < 100000 THEN (
        SELECT count(*)
        FROM token_denylist
    ) ELSE (
        SELECT reltuples::bigint
        FROM pg_class
        WHERE oid = 'token_denylist'::regclass
    ) END AS rows;

-- app/sessions/export_repository.py EXPORT_SESSIONS
SELECT sessions.id, sessions.device, sessions.created_at,
    coalesce(token_denylist.denied_at, sessions.created_at) AS last_used_at,
    nullif(token_denylist.reason, 'active') AS ended
FROM sessions
LEFT OUTER JOIN token_denylist ON token_denylist.user_id = %(user_id)s::UUID
  AND token_denylist.id = sessions.id
WHERE sessions.user_id = %(user_id)s::UUID
  AND sessions.id > %(after)s::UUID
ORDER BY sessions.id
LIMIT %(limit)s::INTEGER;

-- app/sessions/repository.py BEGIN
INSERT INTO sessions (user_id, id, created_at, device, token_version)
SELECT user_state.user_id AS user_id, %(session_id)s::UUID AS id, %(now)s::TIMESTAMP WITH TIME ZONE AS created_at,
    %(device)s::VARCHAR AS device, user_state.token_version AS token_version
FROM user_state
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.is_active
  AND user_state.password_version = %(proven_version)s::INTEGER
FOR KEY SHARE OF user_state
RETURNING sessions.token_version;

-- app/sessions/repository.py LIST
WITH active_session AS (
    SELECT 1 AS one, user_state.tableoid::bigint AS place
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
)
SELECT work.id IS NOT NULL AS found, work.id, work.device, work.created_at, work.last_used_at, work.current, work.kind,
    work.scopes, work.expires_at
FROM active_session
LEFT OUTER JOIN (
    SELECT sessions.id AS id, sessions.device AS device, sessions.created_at AS created_at,
        coalesce(token_denylist.denied_at, sessions.created_at) AS last_used_at,
        sessions.id = %(session_id)s::UUID AS current, sessions.kind AS kind, sessions.scopes AS scopes,
        sessions.expires_at AS expires_at
    FROM sessions
    LEFT OUTER JOIN token_denylist ON token_denylist.user_id = %(user_id)s::UUID
      AND token_denylist.id = sessions.id
    WHERE sessions.user_id = %(user_id)s::UUID
      AND sessions.token_version = %(token_version)s::INTEGER
      AND (token_denylist.id IS NULL OR token_denylist.reason = 'active')
      AND coalesce(sessions.expires_at > %(now)s::TIMESTAMP WITH TIME ZONE,
        coalesce(token_denylist.denied_at, sessions.created_at) > %(oldest)s::TIMESTAMP WITH TIME ZONE)
    ORDER BY sessions.kind = 'script' DESC, sessions.created_at DESC, sessions.id DESC
    LIMIT 120
) AS work ON true;

-- app/sessions/repository.py LIST_FOR_OPERATOR
SELECT sessions.id, sessions.device, sessions.created_at,
    coalesce(token_denylist.denied_at, sessions.created_at) AS last_used_at,
    sessions.id = %(session_id)s::UUID AS current, sessions.kind, sessions.scopes, sessions.expires_at
FROM sessions
LEFT OUTER JOIN token_denylist ON token_denylist.user_id = %(user_id)s::UUID
  AND token_denylist.id = sessions.id
WHERE sessions.user_id = %(user_id)s::UUID
  AND sessions.token_version = %(token_version)s::INTEGER
  AND (token_denylist.id IS NULL OR token_denylist.reason = 'active')
  AND coalesce(sessions.expires_at > %(now)s::TIMESTAMP WITH TIME ZONE,
    coalesce(token_denylist.denied_at, sessions.created_at) > %(oldest)s::TIMESTAMP WITH TIME ZONE);

-- app/sessions/repository.py END_ONE
INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at)
SELECT alive.id AS id, alive.id AS session_id, user_state.user_id AS user_id, 'signed_out' AS reason,
    %(now)s::TIMESTAMP WITH TIME ZONE AS denied_at, %(expires_at)s::TIMESTAMP WITH TIME ZONE AS expires_at
FROM user_state
JOIN (
    SELECT sessions.id AS id, sessions.device AS device, sessions.created_at AS created_at,
        coalesce(token_denylist.denied_at, sessions.created_at) AS last_used_at,
        sessions.id = %(session_id)s::UUID AS current, sessions.kind AS kind, sessions.scopes AS scopes,
        sessions.expires_at AS expires_at
    FROM sessions
    LEFT OUTER JOIN token_denylist ON token_denylist.user_id = %(user_id)s::UUID
      AND token_denylist.id = sessions.id
    WHERE sessions.user_id = %(user_id)s::UUID
      AND sessions.token_version = %(token_version)s::INTEGER
      AND (token_denylist.id IS NULL OR token_denylist.reason = 'active')
      AND coalesce(sessions.expires_at > %(now)s::TIMESTAMP WITH TIME ZONE,
        coalesce(token_denylist.denied_at, sessions.created_at) > %(oldest)s::TIMESTAMP WITH TIME ZONE)
) AS alive ON true
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(session_id)s::UUID
        AND token_denylist.reason != 'active'
  ))
  AND alive.id = %(ended_id)s::UUID
ORDER BY alive.id
FOR KEY SHARE OF user_state
ON CONFLICT (user_id, id) DO UPDATE SET reason = excluded.reason, denied_at = excluded.denied_at,
    expires_at = greatest(token_denylist.expires_at, excluded.expires_at)
WHERE token_denylist.reason = 'active'
RETURNING token_denylist.id;

-- app/sessions/repository.py END_LEAST_USED
INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at)
SELECT least_used.id AS id, least_used.id AS session_id, user_state.user_id AS user_id, 'signed_out' AS reason,
    %(now)s::TIMESTAMP WITH TIME ZONE AS denied_at, %(expires_at)s::TIMESTAMP WITH TIME ZONE AS expires_at
FROM user_state
JOIN (
    SELECT alive.id AS id
    FROM (
        SELECT sessions.id AS id, sessions.device AS device, sessions.created_at AS created_at,
            coalesce(token_denylist.denied_at, sessions.created_at) AS last_used_at,
            sessions.id = %(session_id)s::UUID AS current, sessions.kind AS kind, sessions.scopes AS scopes,
            sessions.expires_at AS expires_at
        FROM sessions
        LEFT OUTER JOIN token_denylist ON token_denylist.user_id = %(user_id)s::UUID
          AND token_denylist.id = sessions.id
        WHERE sessions.user_id = %(user_id)s::UUID
          AND sessions.token_version = %(token_version)s::INTEGER
          AND (token_denylist.id IS NULL OR token_denylist.reason = 'active')
          AND coalesce(sessions.expires_at > %(now)s::TIMESTAMP WITH TIME ZONE,
            coalesce(token_denylist.denied_at, sessions.created_at) > %(oldest)s::TIMESTAMP WITH TIME ZONE)
    ) AS alive
    WHERE alive.kind = 'person'
    ORDER BY alive.last_used_at DESC, alive.id
    LIMIT ALL OFFSET %(most)s::INTEGER
) AS least_used ON true
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
ORDER BY least_used.id
FOR KEY SHARE OF user_state
ON CONFLICT (user_id, id) DO UPDATE SET reason = excluded.reason, denied_at = excluded.denied_at,
    expires_at = greatest(token_denylist.expires_at, excluded.expires_at)
WHERE token_denylist.reason = 'active'
RETURNING token_denylist.id;

-- app/sessions/repository.py END_OTHERS
INSERT INTO token_denylist (id, session_id, user_id, reason, denied_at, expires_at)
SELECT others.id AS id, others.id AS session_id, user_state.user_id AS user_id, 'signed_out' AS reason,
    %(now)s::TIMESTAMP WITH TIME ZONE AS denied_at, %(expires_at)s::TIMESTAMP WITH TIME ZONE AS expires_at
FROM user_state
JOIN (
    SELECT sessions.id AS id
    FROM sessions
    WHERE sessions.user_id = %(user_id)s::UUID
      AND sessions.token_version = %(token_version)s::INTEGER
      AND sessions.id != %(session_id)s::UUID
    UNION
    SELECT token_denylist.id AS id
    FROM token_denylist
    WHERE token_denylist.user_id = %(user_id)s::UUID
      AND token_denylist.reason = 'active'
      AND token_denylist.id != %(session_id)s::UUID
) AS others ON true
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(session_id)s::UUID
        AND token_denylist.reason != 'active'
  ))
ORDER BY others.id
FOR KEY SHARE OF user_state
ON CONFLICT (user_id, id) DO UPDATE SET reason = excluded.reason, denied_at = excluded.denied_at,
    expires_at = greatest(token_denylist.expires_at, excluded.expires_at)
WHERE token_denylist.reason = 'active'
RETURNING token_denylist.id;

-- app/sessions/repository.py END_EVERYWHERE
UPDATE user_state
SET token_version=(user_state.token_version + 1)
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(session_id)s::UUID
        AND token_denylist.reason != 'active'
        AND token_denylist.reason != 'reused'
  ))
RETURNING user_state.user_id;

-- app/sessions/repository.py SELECT_NEWER
SELECT user_state.user_id
FROM user_state
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version > %(token_version)s::INTEGER;

-- app/sessions/repository.py MOVE_TO_VERSION
UPDATE sessions
SET token_version=%(new_version)s::INTEGER
WHERE sessions.user_id = %(user_id)s::UUID
  AND sessions.id = %(session_id)s::UUID
RETURNING sessions.id;

-- app/sessions/repository.py DELETE_SOME
DELETE FROM sessions
WHERE sessions.user_id = %(user_id)s::UUID
  AND sessions.id = ANY (array((
      SELECT sessions.id
      FROM sessions
      WHERE sessions.user_id = %(user_id)s::UUID
      LIMIT %(batch)s::INTEGER
  )))
RETURNING sessions.id;

-- app/sessions/repository.py PRUNE_USER
DELETE FROM sessions
WHERE sessions.user_id = %(user_id)s::UUID
  AND ((EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = sessions.id
        AND token_denylist.reason != 'active'
  )) OR sessions.kind != 'script' AND sessions.created_at <= now() - %(kept)s::INTERVAL AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = sessions.id
        AND token_denylist.denied_at > now() - %(kept)s::INTERVAL
  )) OR sessions.expires_at <= now())
RETURNING sessions.id;

-- app/sessions/repository.py PRUNE
DELETE FROM sessions
WHERE sessions.user_id = ANY (%(user_ids)s::UUID[])
  AND ((EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = sessions.user_id
        AND token_denylist.id = sessions.id
        AND token_denylist.reason != 'active'
  )) OR sessions.kind != 'script' AND sessions.created_at <= now() - %(kept)s::INTERVAL AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = sessions.user_id
        AND token_denylist.id = sessions.id
        AND token_denylist.denied_at > now() - %(kept)s::INTERVAL
  )) OR sessions.expires_at <= now())
RETURNING sessions.id;

-- app/sessions/rotation_repository.py ROTATE
INSERT INTO token_denylist (id, session_id, user_id, reason, denied_up_to, denied_at, expires_at, key_hash, client, uses,
    counted, window_ends)
SELECT %(session_id)s::UUID AS id, %(session_id)s::UUID AS session_id, user_state.user_id AS user_id, 'active' AS reason,
    %(number)s::INTEGER AS denied_up_to, %(now)s::TIMESTAMP WITH TIME ZONE AS denied_at,
    %(expires_at)s::TIMESTAMP WITH TIME ZONE AS expires_at, %(key_hash)s AS key_hash, %(client)s AS client,
    %(use)s AS uses, 1 AS counted, %(window_end)s::TIMESTAMP WITH TIME ZONE AS window_ends
FROM user_state
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(session_id)s::UUID
        AND token_denylist.reason != 'active'
  ))
ON CONFLICT (user_id, id) DO UPDATE SET denied_up_to = excluded.denied_up_to, denied_at = excluded.denied_at,
    expires_at = greatest(token_denylist.expires_at, excluded.expires_at), key_hash = excluded.key_hash,
    client = excluded.client, uses = substr(excluded.uses || coalesce(token_denylist.uses, ''::bytea), 1, 64),
    counted = CASE
    WHEN (token_denylist.window_ends IS NOT NULL AND token_denylist.window_ends > %(now)s::TIMESTAMP WITH TIME ZONE) THEN token_denylist.counted + 1
    ELSE 1 END, window_ends = CASE
    WHEN (token_denylist.window_ends IS NOT NULL AND token_denylist.window_ends > %(now)s::TIMESTAMP WITH TIME ZONE) THEN token_denylist.window_ends
    ELSE %(window_end)s::TIMESTAMP WITH TIME ZONE END
WHERE token_denylist.denied_up_to < excluded.denied_up_to
  AND token_denylist.reason = 'active'
  AND (NOT (token_denylist.window_ends IS NOT NULL AND token_denylist.window_ends > %(now)s::TIMESTAMP WITH TIME ZONE) OR token_denylist.counted < %(amount)s::INTEGER)
RETURNING token_denylist.id;

-- app/sessions/rotation_repository.py ROTATE_UNNUMBERED
INSERT INTO token_denylist (id, session_id, user_id, reason, denied_up_to, denied_at, expires_at, key_hash, client, uses,
    counted, window_ends)
SELECT %(session_id)s::UUID AS id, %(session_id)s::UUID AS session_id, user_state.user_id AS user_id, 'active' AS reason,
    %(number)s::INTEGER AS denied_up_to, %(now)s::TIMESTAMP WITH TIME ZONE AS denied_at,
    %(expires_at)s::TIMESTAMP WITH TIME ZONE AS expires_at, %(key_hash)s AS key_hash, %(client)s AS client,
    %(use)s AS uses, 1 AS counted, %(window_end)s::TIMESTAMP WITH TIME ZONE AS window_ends
FROM user_state
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(session_id)s::UUID
        AND token_denylist.reason != 'active'
  ))
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(token_id)s::UUID
  ))
ON CONFLICT (user_id, id) DO UPDATE SET denied_up_to = excluded.denied_up_to, denied_at = excluded.denied_at,
    expires_at = greatest(token_denylist.expires_at, excluded.expires_at), key_hash = excluded.key_hash,
    client = excluded.client, uses = substr(excluded.uses || coalesce(token_denylist.uses, ''::bytea), 1, 64),
    counted = CASE
    WHEN (token_denylist.window_ends IS NOT NULL AND token_denylist.window_ends > %(now)s::TIMESTAMP WITH TIME ZONE) THEN token_denylist.counted + 1
    ELSE 1 END, window_ends = CASE
    WHEN (token_denylist.window_ends IS NOT NULL AND token_denylist.window_ends > %(now)s::TIMESTAMP WITH TIME ZONE) THEN token_denylist.window_ends
    ELSE %(window_end)s::TIMESTAMP WITH TIME ZONE END
WHERE token_denylist.denied_up_to < excluded.denied_up_to
  AND token_denylist.reason = 'active'
  AND (NOT (token_denylist.window_ends IS NOT NULL AND token_denylist.window_ends > %(now)s::TIMESTAMP WITH TIME ZONE) OR token_denylist.counted < %(amount)s::INTEGER)
RETURNING token_denylist.id;

-- app/sessions/rotation_repository.py COUNT_AGAIN
INSERT INTO token_denylist (id, session_id, user_id, reason, denied_up_to, denied_at, expires_at, counted, window_ends)
SELECT %(session_id)s::UUID AS id, %(session_id)s::UUID AS session_id, user_state.user_id AS user_id, 'active' AS reason,
    %(number)s::INTEGER AS denied_up_to, %(now)s::TIMESTAMP WITH TIME ZONE AS denied_at,
    %(expires_at)s::TIMESTAMP WITH TIME ZONE AS expires_at, 1 AS counted,
    %(window_end)s::TIMESTAMP WITH TIME ZONE AS window_ends
FROM user_state
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(session_id)s::UUID
        AND token_denylist.reason != 'active'
  ))
ON CONFLICT (user_id, id) DO UPDATE SET counted = CASE
    WHEN (token_denylist.window_ends IS NOT NULL AND token_denylist.window_ends > %(now)s::TIMESTAMP WITH TIME ZONE) THEN token_denylist.counted + 1
    ELSE 1 END, window_ends = CASE
    WHEN (token_denylist.window_ends IS NOT NULL AND token_denylist.window_ends > %(now)s::TIMESTAMP WITH TIME ZONE) THEN token_denylist.window_ends
    ELSE %(window_end)s::TIMESTAMP WITH TIME ZONE END
WHERE token_denylist.reason = 'active'
  AND token_denylist.denied_up_to = %(number)s::INTEGER
  AND (NOT (token_denylist.window_ends IS NOT NULL AND token_denylist.window_ends > %(now)s::TIMESTAMP WITH TIME ZONE) OR token_denylist.counted < %(amount)s::INTEGER)
RETURNING token_denylist.id;

-- app/sessions/rotation_repository.py SELECT_STATE
SELECT token_denylist.denied_up_to, token_denylist.denied_at AS used_at, token_denylist.key_hash, token_denylist.client,
    token_denylist.uses, token_denylist.window_ends
FROM user_state
LEFT OUTER JOIN token_denylist ON token_denylist.user_id = %(user_id)s::UUID
  AND token_denylist.id = %(session_id)s::UUID
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(session_id)s::UUID
        AND token_denylist.reason != 'active'
  ));

-- app/sessions/rotation_repository.py SELECT_REFUSAL
SELECT user_state.is_active, user_state.token_version, token_denylist.reason
FROM user_state
LEFT OUTER JOIN token_denylist ON token_denylist.user_id = %(user_id)s::UUID
  AND token_denylist.id = %(session_id)s::UUID
WHERE user_state.user_id = %(user_id)s::UUID;

-- app/sessions/rotation_repository.py SELECT_USED_TOKEN
SELECT token_denylist.denied_at AS used_at, token_denylist.key_hash,
    EXISTS (
        SELECT *
        FROM token_denylist AS successor
        WHERE successor.user_id = %(user_id)s::UUID
          AND successor.id = %(successor_id)s::UUID
    ) AS successor_used
FROM token_denylist
WHERE token_denylist.user_id = %(user_id)s::UUID
  AND token_denylist.id = %(token_id)s::UUID;

-- app/sessions/rotation_repository.py RENEW
INSERT INTO token_denylist (id, session_id, user_id, reason, denied_up_to, denied_at, expires_at)
SELECT %(session_id)s::UUID AS id, %(session_id)s::UUID AS session_id, user_state.user_id AS user_id, 'active' AS reason,
    1 AS denied_up_to, %(now)s::TIMESTAMP WITH TIME ZONE AS denied_at,
    %(expires_at)s::TIMESTAMP WITH TIME ZONE AS expires_at
FROM user_state
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(session_id)s::UUID
        AND token_denylist.reason != 'active'
  ))
ON CONFLICT (user_id, id) DO UPDATE SET denied_up_to = (token_denylist.denied_up_to + 1), denied_at = excluded.denied_at,
    expires_at = greatest(token_denylist.expires_at, excluded.expires_at), key_hash = CAST(NULL AS BYTEA),
    client = CAST(NULL AS BYTEA), uses = CAST(NULL AS BYTEA)
WHERE token_denylist.reason = 'active'
RETURNING token_denylist.denied_up_to;

-- app/status/health.py SELECT_REVISION
SELECT version_num
FROM alembic_version;

-- app/status/health.py SELECT_IS_OURS
SELECT to_regclass('users') IS NOT NULL
  AND to_regclass('token_denylist') IS NOT NULL AS is_ours;

-- app/tasks/changes_repository.py SELECT_CHANGED
WITH active_session AS (
    SELECT 1 AS one, user_state.tableoid::bigint AS place
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
)
SELECT work.id IS NOT NULL AS found, CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS VARCHAR) AS BIGINT) AS xmin,
    (
        SELECT (split_part(next_xid, ':', 1)::bigint << 32) + split_part(next_xid, ':', 2)::bigint
        FROM pg_control_checkpoint()
    ) AS durable,
    max(CASE WHEN work.here THEN CAST(CAST(work.changed AS VARCHAR) AS BIGINT) END) OVER () AS last_changed,
    CAST(CAST((
        SELECT task_tombstones.changed
        FROM task_tombstones
        WHERE task_tombstones.user_id = %(user_id)s::UUID
          AND task_tombstones.changed >= CAST(%(since)s::VARCHAR AS xid8)
          AND NOT (EXISTS (
              SELECT *
              FROM tasks
              WHERE tasks.user_id = %(user_id)s::UUID
                AND tasks.id = task_tombstones.id
          ))
          AND task_tombstones.changed::text::bigint & 4294967295 = task_tombstones.xmin::text::bigint
        ORDER BY task_tombstones.changed DESC
        LIMIT 1
    ) AS VARCHAR) AS BIGINT) AS last_deleted,
    EXISTS (
        SELECT *
        FROM task_tombstones
        WHERE task_tombstones.user_id = %(user_id)s::UUID
          AND task_tombstones.changed >= CAST(%(since)s::VARCHAR AS xid8)
          AND NOT (EXISTS (
              SELECT *
              FROM tasks
              WHERE tasks.user_id = %(user_id)s::UUID
                AND tasks.id = task_tombstones.id
          ))
    ) AS any_deleted, (
        SELECT task_epoch.epoch
        FROM task_epoch
    ) AS epoch,
    greatest((
        SELECT timeline_id
        FROM pg_control_checkpoint()
    ), (
        SELECT min_recovery_end_timeline
        FROM pg_control_recovery()
    )) AS timeline, (
        SELECT system_identifier
        FROM pg_control_system()
    ) AS server, active_session.place AS place, statement_timestamp() AS now, work.id, work.user_id, work.title,
    work.description, work.completed, work.status, work.priority, work.version, work.created_at, work.updated_at
FROM active_session
LEFT OUTER JOIN (
    SELECT tasks.id AS id, tasks.user_id AS user_id, tasks.title AS title, tasks.description AS description,
        tasks.status = 'completed' AS completed, tasks.status AS status, tasks.priority AS priority,
        tasks.version AS version, tasks.created_at AS created_at, tasks.updated_at AS updated_at,
        tasks.changed AS changed, tasks.changed::text::bigint & 4294967295 = tasks.xmin::text::bigint AS here
    FROM tasks
    WHERE tasks.user_id = %(user_id)s::UUID
      AND tasks.changed >= CAST(%(since)s::VARCHAR AS xid8)
      AND tasks.id > %(after)s::UUID
    ORDER BY tasks.id
    LIMIT %(limit)s::INTEGER
) AS work ON true;

-- app/tasks/changes_repository.py SELECT_DELETED
WITH active_session AS (
    SELECT 1 AS one, user_state.tableoid::bigint AS place
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
)
SELECT work.id IS NOT NULL AS found, work.id
FROM active_session
LEFT OUTER JOIN (
    SELECT task_tombstones.id AS id
    FROM task_tombstones
    WHERE task_tombstones.user_id = %(user_id)s::UUID
      AND task_tombstones.changed >= CAST(%(since)s::VARCHAR AS xid8)
      AND NOT (EXISTS (
          SELECT *
          FROM tasks
          WHERE tasks.user_id = %(user_id)s::UUID
            AND tasks.id = task_tombstones.id
      ))
      AND task_tombstones.id > %(after)s::UUID
    ORDER BY task_tombstones.id
    LIMIT %(limit)s::INTEGER
) AS work ON true;

-- app/tasks/changes_repository.py DRAW_EPOCH
INSERT INTO task_epoch (id, epoch)
VALUES (1, gen_random_uuid())
ON CONFLICT DO NOTHING
RETURNING task_epoch.epoch;

-- app/tasks/changes_repository.py FORGET_CHANGES
UPDATE tasks
SET changed = '0'
WHERE changed::text::bigint >= (
    SELECT (split_part(next_xid, ':', 1)::bigint << 32) + split_part(next_xid, ':', 2)::bigint
    FROM pg_control_checkpoint()
);

-- app/tasks/changes_repository.py END_EPOCH
DELETE FROM task_epoch;

-- app/tasks/changes_repository.py PRUNE_USER
DELETE FROM task_tombstones
WHERE task_tombstones.user_id = %(user_id)s::UUID
  AND task_tombstones.id = ANY (array((
      SELECT task_tombstones.id
      FROM task_tombstones
      WHERE task_tombstones.user_id = %(user_id)s::UUID
        AND task_tombstones.deleted_at < now() - %(kept)s::INTERVAL
      LIMIT %(limit)s::INTEGER
  )))
  AND task_tombstones.deleted_at < now() - %(kept)s::INTERVAL
RETURNING task_tombstones.id;

-- app/tasks/changes_repository.py PRUNE
DELETE FROM task_tombstones
WHERE task_tombstones.user_id = ANY (%(user_ids)s::UUID[])
  AND task_tombstones.deleted_at < now() - %(kept)s::INTERVAL
RETURNING task_tombstones.id;

-- app/tasks/changes_repository.py DELETE_SOME
DELETE FROM task_tombstones
WHERE task_tombstones.user_id = %(user_id)s::UUID
  AND task_tombstones.id = ANY (array((
      SELECT task_tombstones.id
      FROM task_tombstones
      WHERE task_tombstones.user_id = %(user_id)s::UUID
      LIMIT %(batch)s::INTEGER
  )))
RETURNING task_tombstones.id;

-- app/tasks/export_repository.py EXPORT_TASKS
SELECT tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.status = 'completed' AS completed, tasks.status,
    tasks.priority, tasks.version, tasks.created_at, tasks.updated_at
FROM tasks
WHERE tasks.user_id = %(user_id)s::UUID
  AND tasks.id > %(after)s::UUID
ORDER BY tasks.id
LIMIT %(limit)s::INTEGER;

-- app/tasks/export_repository.py EXPORT_DELETED_TASKS
SELECT task_tombstones.id, task_tombstones.version, task_tombstones.deleted_at
FROM task_tombstones
WHERE task_tombstones.user_id = %(user_id)s::UUID
  AND task_tombstones.id > %(after)s::UUID
ORDER BY task_tombstones.id
LIMIT %(limit)s::INTEGER;

-- app/tasks/repository.py INSERT
INSERT INTO tasks (id, user_id, title, description, status, priority, version, created_at, updated_at, changed)
SELECT %(task_id)s::UUID AS id, user_state.user_id AS user_id, %(title)s::VARCHAR AS title,
    %(description)s::VARCHAR AS description, %(status)s::VARCHAR AS status, %(priority)s::VARCHAR AS priority,
    1 AS version, %(now)s::TIMESTAMP WITH TIME ZONE AS created_at, %(now)s::TIMESTAMP WITH TIME ZONE AS updated_at,
    this_transaction(user_state.user_id) AS changed
FROM user_state
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(session_id)s::UUID
        AND token_denylist.reason != 'active'
  ))
ON CONFLICT DO NOTHING
RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.status = 'completed' AS completed, tasks.status,
    tasks.priority, tasks.version, tasks.created_at, tasks.updated_at;

-- app/tasks/repository.py INSERT_AGAIN
INSERT INTO tasks (id, user_id, title, description, status, priority, version, created_at, updated_at, changed)
SELECT %(task_id)s::UUID AS id, user_state.user_id AS user_id, %(title)s::VARCHAR AS title,
    %(description)s::VARCHAR AS description, %(status)s::VARCHAR AS status, %(priority)s::VARCHAR AS priority,
    coalesce((
        SELECT task_tombstones.version
        FROM task_tombstones
        WHERE task_tombstones.user_id = %(user_id)s::UUID
          AND task_tombstones.id = %(task_id)s::UUID
    ), 0) + 1 AS version, %(now)s::TIMESTAMP WITH TIME ZONE AS created_at,
    %(now)s::TIMESTAMP WITH TIME ZONE AS updated_at, this_transaction(user_state.user_id) AS changed
FROM user_state
WHERE user_state.user_id = %(user_id)s::UUID
  AND user_state.token_version = %(token_version)s::INTEGER
  AND user_state.is_active
  AND NOT (EXISTS (
      SELECT *
      FROM token_denylist
      WHERE token_denylist.user_id = %(user_id)s::UUID
        AND token_denylist.id = %(session_id)s::UUID
        AND token_denylist.reason != 'active'
  ))
  AND NOT (EXISTS (
      SELECT *
      FROM tasks
      WHERE tasks.user_id = %(user_id)s::UUID
        AND tasks.id = %(task_id)s::UUID
  ))
ON CONFLICT DO NOTHING
RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.status = 'completed' AS completed, tasks.status,
    tasks.priority, tasks.version, tasks.created_at, tasks.updated_at;

-- app/tasks/repository.py COUNT
WITH active_session AS (
    SELECT 1 AS one, user_state.tableoid::bigint AS place
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
)
SELECT work.tasks IS NOT NULL AS found, work.tasks
FROM active_session
LEFT OUTER JOIN (
    SELECT count(*) AS tasks
    FROM (
        SELECT 1 AS one
        FROM tasks
        WHERE tasks.user_id = %(user_id)s::UUID
        LIMIT %(most)s::INTEGER
    ) AS "some"
) AS work ON true;

-- app/tasks/repository.py SELECT
WITH active_session AS (
    SELECT 1 AS one, user_state.tableoid::bigint AS place
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
)
SELECT work.id IS NOT NULL AS found, work.id, work.user_id, work.title, work.description, work.completed, work.status,
    work.priority, work.version, work.created_at, work.updated_at
FROM active_session
LEFT OUTER JOIN (
    SELECT tasks.id AS id, tasks.user_id AS user_id, tasks.title AS title, tasks.description AS description,
        tasks.status = 'completed' AS completed, tasks.status AS status, tasks.priority AS priority,
        tasks.version AS version, tasks.created_at AS created_at, tasks.updated_at AS updated_at
    FROM tasks
    WHERE tasks.user_id = %(user_id)s::UUID
      AND tasks.id = %(task_id)s::UUID
) AS work ON true;

-- app/tasks/repository.py TOGGLE
WITH writing_session AS MATERIALIZED (
    SELECT 1 AS one, pg_current_xact_id() AS transaction
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
),
work AS (
    UPDATE tasks
    SET status=CASE WHEN (tasks.status = 'completed') THEN 'pending' ELSE 'completed' END, version=(tasks.version + 1),
        updated_at=greatest(tasks.updated_at, %(now)s::TIMESTAMP WITH TIME ZONE),
        changed=(
            SELECT writing_session.transaction
            FROM writing_session
        )
    WHERE tasks.user_id = %(user_id)s::UUID
      AND tasks.id = %(task_id)s::UUID
      AND (%(versions)s::INTEGER[] IS NULL OR tasks.version = ANY (%(versions)s::INTEGER[]))
      AND tasks.version != ALL (%(excluded)s::INTEGER[])
      AND (EXISTS (
          SELECT *
          FROM writing_session
      ))
    RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.status = 'completed' AS completed,
        tasks.status, tasks.priority, tasks.version, tasks.created_at, tasks.updated_at
)
SELECT work.id IS NOT NULL AS found, work.id, work.user_id, work.title, work.description, work.completed, work.status,
    work.priority, work.version, work.created_at, work.updated_at
FROM writing_session
LEFT OUTER JOIN work ON true;

-- app/tasks/repository.py SET_COMPLETED
WITH writing_session AS MATERIALIZED (
    SELECT 1 AS one, pg_current_xact_id() AS transaction
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
),
work AS (
    UPDATE tasks
    SET status=CASE WHEN ((tasks.status = 'completed') = %(completed)s) THEN tasks.status ELSE CASE
        WHEN (tasks.status = 'completed') THEN 'pending' ELSE 'completed' END END, version=CASE
        WHEN ((tasks.status = 'completed') = %(completed)s) THEN tasks.version ELSE tasks.version + 1 END,
        updated_at=CASE WHEN ((tasks.status = 'completed') = %(completed)s) THEN tasks.updated_at
        ELSE greatest(tasks.updated_at, %(now)s::TIMESTAMP WITH TIME ZONE) END, changed=CASE
        WHEN ((tasks.status = 'completed') = %(completed)s) THEN tasks.changed
        ELSE (
            SELECT writing_session.transaction
            FROM writing_session
        ) END
    WHERE tasks.user_id = %(user_id)s::UUID
      AND tasks.id = %(task_id)s::UUID
      AND (%(versions)s::INTEGER[] IS NULL OR tasks.version = ANY (%(versions)s::INTEGER[]))
      AND tasks.version != ALL (%(excluded)s::INTEGER[])
      AND (EXISTS (
          SELECT *
          FROM writing_session
      ))
    RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.status = 'completed' AS completed,
        tasks.status, tasks.priority, tasks.version, tasks.created_at, tasks.updated_at
)
SELECT work.id IS NOT NULL AS found, work.id, work.user_id, work.title, work.description, work.completed, work.status,
    work.priority, work.version, work.created_at, work.updated_at
FROM writing_session
LEFT OUTER JOIN work ON true;

-- app/tasks/repository.py DELETE
WITH active_session AS (
    SELECT 1 AS one, user_state.tableoid::bigint AS place
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
),
work AS (
    DELETE FROM tasks
    WHERE tasks.user_id = %(user_id)s::UUID
      AND tasks.id = %(task_id)s::UUID
      AND (%(versions)s::INTEGER[] IS NULL OR tasks.version = ANY (%(versions)s::INTEGER[]))
      AND tasks.version != ALL (%(excluded)s::INTEGER[])
      AND (EXISTS (
          SELECT *
          FROM active_session
      ))
    RETURNING tasks.id, tasks.version
)
INSERT INTO task_tombstones (id, user_id, version, changed, deleted_at)
SELECT work.id AS id, %(user_id)s::UUID AS user_id, work.version AS version, pg_current_xact_id() AS changed,
    statement_timestamp() AS deleted_at
FROM work
ON CONFLICT (id, user_id) DO UPDATE SET version = excluded.version, changed = excluded.changed,
    deleted_at = excluded.deleted_at
RETURNING task_tombstones.id;

-- app/tasks/repository.py DELETE_SOME
DELETE FROM tasks
WHERE tasks.user_id = %(user_id)s::UUID
  AND tasks.id = ANY (array((
      SELECT tasks.id
      FROM tasks
      WHERE tasks.user_id = %(user_id)s::UUID
      LIMIT %(batch)s::INTEGER
  )))
RETURNING tasks.id;

-- app/tasks/repository.py update_statement: description, priority, status, title
WITH writing_session AS MATERIALIZED (
    SELECT 1 AS one, pg_current_xact_id() AS transaction
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
),
work AS (
    UPDATE tasks
    SET title=%(title)s::VARCHAR, description=%(description)s::VARCHAR, status=%(status)s::VARCHAR,
        priority=%(priority)s::VARCHAR, version=(tasks.version + 1),
        updated_at=greatest(tasks.updated_at, %(now)s::TIMESTAMP WITH TIME ZONE),
        changed=(
            SELECT writing_session.transaction
            FROM writing_session
        )
    WHERE tasks.user_id = %(user_id)s::UUID
      AND tasks.id = %(task_id)s::UUID
      AND (%(versions)s::INTEGER[] IS NULL OR tasks.version = ANY (%(versions)s::INTEGER[]))
      AND tasks.version != ALL (%(excluded)s::INTEGER[])
      AND (EXISTS (
          SELECT *
          FROM writing_session
      ))
    RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.status = 'completed' AS completed,
        tasks.status, tasks.priority, tasks.version, tasks.created_at, tasks.updated_at
)
SELECT work.id IS NOT NULL AS found, work.id, work.user_id, work.title, work.description, work.completed, work.status,
    work.priority, work.version, work.created_at, work.updated_at
FROM writing_session
LEFT OUTER JOIN work ON true;

-- app/tasks/repository.py update_statement: reopen
WITH writing_session AS MATERIALIZED (
    SELECT 1 AS one, pg_current_xact_id() AS transaction
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
),
work AS (
    UPDATE tasks
    SET status=CASE WHEN (tasks.status = 'completed') THEN 'pending' ELSE tasks.status END, version=(tasks.version + 1),
        updated_at=greatest(tasks.updated_at, %(now)s::TIMESTAMP WITH TIME ZONE),
        changed=(
            SELECT writing_session.transaction
            FROM writing_session
        )
    WHERE tasks.user_id = %(user_id)s::UUID
      AND tasks.id = %(task_id)s::UUID
      AND (%(versions)s::INTEGER[] IS NULL OR tasks.version = ANY (%(versions)s::INTEGER[]))
      AND tasks.version != ALL (%(excluded)s::INTEGER[])
      AND (EXISTS (
          SELECT *
          FROM writing_session
      ))
    RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.status = 'completed' AS completed,
        tasks.status, tasks.priority, tasks.version, tasks.created_at, tasks.updated_at
)
SELECT work.id IS NOT NULL AS found, work.id, work.user_id, work.title, work.description, work.completed, work.status,
    work.priority, work.version, work.created_at, work.updated_at
FROM writing_session
LEFT OUTER JOIN work ON true;

-- app/tasks/repository.py update_statement: status, contradicts
WITH writing_session AS MATERIALIZED (
    SELECT 1 AS one, pg_current_xact_id() AS transaction
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
),
work AS (
    UPDATE tasks
    SET status=CASE WHEN (tasks.status = %(status)s::VARCHAR) THEN CASE
        WHEN (tasks.status = 'completed') THEN 'pending' ELSE 'completed' END ELSE %(status)s::VARCHAR END,
        version=(tasks.version + 1), updated_at=greatest(tasks.updated_at, %(now)s::TIMESTAMP WITH TIME ZONE),
        changed=(
            SELECT writing_session.transaction
            FROM writing_session
        )
    WHERE tasks.user_id = %(user_id)s::UUID
      AND tasks.id = %(task_id)s::UUID
      AND (%(versions)s::INTEGER[] IS NULL OR tasks.version = ANY (%(versions)s::INTEGER[]))
      AND tasks.version != ALL (%(excluded)s::INTEGER[])
      AND (tasks.status = %(status)s::VARCHAR OR (tasks.status = 'completed') = %(completed)s)
      AND (%(version_read)s::INTEGER IS NULL OR tasks.version = %(version_read)s::INTEGER)
      AND (EXISTS (
          SELECT *
          FROM writing_session
      ))
    RETURNING tasks.id, tasks.user_id, tasks.title, tasks.description, tasks.status = 'completed' AS completed,
        tasks.status, tasks.priority, tasks.version, tasks.created_at, tasks.updated_at
)
SELECT work.id IS NOT NULL AS found, work.id, work.user_id, work.title, work.description, work.completed, work.status,
    work.priority, work.version, work.created_at, work.updated_at
FROM writing_session
LEFT OUTER JOIN work ON true;

-- app/tasks/list_repository.py list_statement: by created_at desc
WITH active_session AS (
    SELECT 1 AS one, user_state.tableoid::bigint AS place
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
)
SELECT work.id IS NOT NULL AS found, CAST(NULL AS INTEGER) AS total, work.id, work.user_id, work.title, work.description,
    work.completed, work.status, work.priority, work.version, work.created_at, work.updated_at
FROM active_session
LEFT OUTER JOIN (
    SELECT tasks.id AS id, tasks.user_id AS user_id, tasks.title AS title, tasks.description AS description,
        tasks.status = 'completed' AS completed, tasks.status AS status, tasks.priority AS priority,
        tasks.version AS version, tasks.created_at AS created_at, tasks.updated_at AS updated_at
    FROM tasks
    WHERE tasks.user_id = %(user_id)s::UUID
    ORDER BY tasks.created_at DESC, tasks.id DESC
    LIMIT %(limit)s::INTEGER OFFSET %(offset)s::INTEGER
) AS work ON true;

-- app/tasks/list_repository.py list_statement: completed, by created_at asc, counted, after a cursor
WITH active_session AS (
    SELECT 1 AS one, user_state.tableoid::bigint AS place
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
)
SELECT work.id IS NOT NULL AS found,
    (
        SELECT count(*) AS count_1
        FROM tasks
        WHERE tasks.user_id = %(user_id)s::UUID
          AND tasks.status = 'completed'
    ) AS total, work.id, work.user_id, work.title, work.description, work.completed, work.status, work.priority,
    work.version, work.created_at, work.updated_at
FROM active_session
LEFT OUTER JOIN (
    SELECT tasks.id AS id, tasks.user_id AS user_id, tasks.title AS title, tasks.description AS description,
        tasks.status = 'completed' AS completed, tasks.status AS status, tasks.priority AS priority,
        tasks.version AS version, tasks.created_at AS created_at, tasks.updated_at AS updated_at
    FROM tasks
    WHERE tasks.user_id = %(user_id)s::UUID
      AND tasks.status = 'completed'
      AND (tasks.created_at, tasks.id) > (%(after_value)s::TIMESTAMP WITH TIME ZONE, %(after_id)s::UUID)
    ORDER BY tasks.created_at ASC, tasks.id ASC
    LIMIT %(limit)s::INTEGER OFFSET %(offset)s::INTEGER
) AS work ON true;

-- app/tasks/list_repository.py list_statement: not completed, by created_at desc, after a cursor
WITH active_session AS (
    SELECT 1 AS one, user_state.tableoid::bigint AS place
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
)
SELECT work.id IS NOT NULL AS found, CAST(NULL AS INTEGER) AS total, work.id, work.user_id, work.title, work.description,
    work.completed, work.status, work.priority, work.version, work.created_at, work.updated_at
FROM active_session
LEFT OUTER JOIN (
    SELECT tasks.id AS id, tasks.user_id AS user_id, tasks.title AS title, tasks.description AS description,
        tasks.status = 'completed' AS completed, tasks.status AS status, tasks.priority AS priority,
        tasks.version AS version, tasks.created_at AS created_at, tasks.updated_at AS updated_at
    FROM tasks
    WHERE tasks.user_id = %(user_id)s::UUID
      AND tasks.status != 'completed'
      AND (tasks.created_at, tasks.id) < (%(after_value)s::TIMESTAMP WITH TIME ZONE, %(after_id)s::UUID)
    ORDER BY tasks.created_at DESC, tasks.id DESC
    LIMIT %(limit)s::INTEGER OFFSET %(offset)s::INTEGER
) AS work ON true;

-- app/tasks/list_repository.py list_statement: status, by updated_at asc, counted, after a cursor
WITH active_session AS (
    SELECT 1 AS one, user_state.tableoid::bigint AS place
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
)
SELECT work.id IS NOT NULL AS found,
    (
        SELECT count(*) AS count_1
        FROM tasks
        WHERE tasks.user_id = %(user_id)s::UUID
          AND tasks.status = %(status)s::VARCHAR
    ) AS total, work.id, work.user_id, work.title, work.description, work.completed, work.status, work.priority,
    work.version, work.created_at, work.updated_at
FROM active_session
LEFT OUTER JOIN (
    SELECT tasks.id AS id, tasks.user_id AS user_id, tasks.title AS title, tasks.description AS description,
        tasks.status = 'completed' AS completed, tasks.status AS status, tasks.priority AS priority,
        tasks.version AS version, tasks.created_at AS created_at, tasks.updated_at AS updated_at
    FROM tasks
    WHERE tasks.user_id = %(user_id)s::UUID
      AND tasks.status = %(status)s::VARCHAR
      AND (tasks.updated_at, tasks.id) > (%(after_value)s::TIMESTAMP WITH TIME ZONE, %(after_id)s::UUID)
    ORDER BY tasks.updated_at ASC, tasks.id ASC
    LIMIT %(limit)s::INTEGER OFFSET %(offset)s::INTEGER
) AS work ON true;

-- app/tasks/list_repository.py list_statement: priority, by updated_at desc, after a cursor
WITH active_session AS (
    SELECT 1 AS one, user_state.tableoid::bigint AS place
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
)
SELECT work.id IS NOT NULL AS found, CAST(NULL AS INTEGER) AS total, work.id, work.user_id, work.title, work.description,
    work.completed, work.status, work.priority, work.version, work.created_at, work.updated_at
FROM active_session
LEFT OUTER JOIN (
    SELECT tasks.id AS id, tasks.user_id AS user_id, tasks.title AS title, tasks.description AS description,
        tasks.status = 'completed' AS completed, tasks.status AS status, tasks.priority AS priority,
        tasks.version AS version, tasks.created_at AS created_at, tasks.updated_at AS updated_at
    FROM tasks
    WHERE tasks.user_id = %(user_id)s::UUID
      AND tasks.priority = %(priority)s::VARCHAR
      AND (tasks.updated_at, tasks.id) < (%(after_value)s::TIMESTAMP WITH TIME ZONE, %(after_id)s::UUID)
    ORDER BY tasks.updated_at DESC, tasks.id DESC
    LIMIT %(limit)s::INTEGER OFFSET %(offset)s::INTEGER
) AS work ON true;

-- app/tasks/list_repository.py list_statement: q, by priority asc, counted, after a cursor
WITH active_session AS (
    SELECT 1 AS one, user_state.tableoid::bigint AS place
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
)
SELECT work.id IS NOT NULL AS found,
    (
        SELECT count(*) AS count_1
        FROM tasks
        WHERE tasks.user_id = %(user_id)s::UUID
          AND strpos(lower(CASE
            WHEN (char_length(tasks.title) = octet_length(tasks.title) OR is_normalized(tasks.title, 'NFC')) THEN tasks.title
            ELSE normalize(tasks.title) END), lower(normalize(%(q)s::VARCHAR))) > 0
    ) AS total, work.id, work.user_id, work.title, work.description, work.completed, work.status, work.priority,
    work.version, work.created_at, work.updated_at
FROM active_session
LEFT OUTER JOIN (
    SELECT tasks.id AS id, tasks.user_id AS user_id, tasks.title AS title, tasks.description AS description,
        tasks.status = 'completed' AS completed, tasks.status AS status, tasks.priority AS priority,
        tasks.version AS version, tasks.created_at AS created_at, tasks.updated_at AS updated_at
    FROM tasks
    WHERE tasks.user_id = %(user_id)s::UUID
      AND strpos(lower(CASE
        WHEN (char_length(tasks.title) = octet_length(tasks.title) OR is_normalized(tasks.title, 'NFC')) THEN tasks.title
        ELSE normalize(tasks.title) END), lower(normalize(%(q)s::VARCHAR))) > 0
      AND (CASE WHEN (tasks.priority = 'high') THEN 3 WHEN (tasks.priority = 'medium') THEN 2 ELSE 1 END, tasks.id) > (CASE
        WHEN (%(after_value)s::VARCHAR = 'high') THEN 3 WHEN (%(after_value)s::VARCHAR = 'medium') THEN 2 ELSE 1 END,
        %(after_id)s::UUID)
    ORDER BY CASE WHEN (tasks.priority = 'high') THEN 3 WHEN (tasks.priority = 'medium') THEN 2 ELSE 1 END ASC,
        tasks.id ASC
    LIMIT %(limit)s::INTEGER OFFSET %(offset)s::INTEGER
) AS work ON true;

-- app/tasks/list_repository.py list_statement: completed, by priority desc, after a cursor
WITH active_session AS (
    SELECT 1 AS one, user_state.tableoid::bigint AS place
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
)
SELECT work.id IS NOT NULL AS found, CAST(NULL AS INTEGER) AS total, work.id, work.user_id, work.title, work.description,
    work.completed, work.status, work.priority, work.version, work.created_at, work.updated_at
FROM active_session
LEFT OUTER JOIN (
    SELECT tasks.id AS id, tasks.user_id AS user_id, tasks.title AS title, tasks.description AS description,
        tasks.status = 'completed' AS completed, tasks.status AS status, tasks.priority AS priority,
        tasks.version AS version, tasks.created_at AS created_at, tasks.updated_at AS updated_at
    FROM tasks
    WHERE tasks.user_id = %(user_id)s::UUID
      AND tasks.status = 'completed'
      AND (CASE WHEN (tasks.priority = 'high') THEN 3 WHEN (tasks.priority = 'medium') THEN 2 ELSE 1 END, tasks.id) < (CASE
        WHEN (%(after_value)s::VARCHAR = 'high') THEN 3 WHEN (%(after_value)s::VARCHAR = 'medium') THEN 2 ELSE 1 END,
        %(after_id)s::UUID)
    ORDER BY CASE WHEN (tasks.priority = 'high') THEN 3 WHEN (tasks.priority = 'medium') THEN 2 ELSE 1 END DESC,
        tasks.id DESC
    LIMIT %(limit)s::INTEGER OFFSET %(offset)s::INTEGER
) AS work ON true;

-- app/tasks/list_repository.py list_statement: not completed, by title asc, counted, after a cursor
WITH active_session AS (
    SELECT 1 AS one, user_state.tableoid::bigint AS place
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
)
SELECT work.id IS NOT NULL AS found,
    (
        SELECT count(*) AS count_1
        FROM tasks
        WHERE tasks.user_id = %(user_id)s::UUID
          AND tasks.status != 'completed'
    ) AS total, work.id, work.user_id, work.title, work.description, work.completed, work.status, work.priority,
    work.version, work.created_at, work.updated_at
FROM active_session
LEFT OUTER JOIN (
    SELECT tasks.id AS id, tasks.user_id AS user_id, tasks.title AS title, tasks.description AS description,
        tasks.status = 'completed' AS completed, tasks.status AS status, tasks.priority AS priority,
        tasks.version AS version, tasks.created_at AS created_at, tasks.updated_at AS updated_at
    FROM tasks
    WHERE tasks.user_id = %(user_id)s::UUID
      AND tasks.status != 'completed'
      AND (lower(tasks.title), tasks.id) > (lower(%(after_value)s::VARCHAR), %(after_id)s::UUID)
    ORDER BY lower(tasks.title) ASC, tasks.id ASC
    LIMIT %(limit)s::INTEGER OFFSET %(offset)s::INTEGER
) AS work ON true;

-- app/tasks/list_repository.py list_statement: status, by title desc, after a cursor
WITH active_session AS (
    SELECT 1 AS one, user_state.tableoid::bigint AS place
    FROM user_state
    WHERE user_state.user_id = %(user_id)s::UUID
      AND user_state.token_version = %(token_version)s::INTEGER
      AND user_state.is_active
      AND NOT (EXISTS (
          SELECT *
          FROM token_denylist
          WHERE token_denylist.user_id = %(user_id)s::UUID
            AND token_denylist.id = %(session_id)s::UUID
            AND token_denylist.reason != 'active'
      ))
)
SELECT work.id IS NOT NULL AS found, CAST(NULL AS INTEGER) AS total, work.id, work.user_id, work.title, work.description,
    work.completed, work.status, work.priority, work.version, work.created_at, work.updated_at
FROM active_session
LEFT OUTER JOIN (
    SELECT tasks.id AS id, tasks.user_id AS user_id, tasks.title AS title, tasks.description AS description,
        tasks.status = 'completed' AS completed, tasks.status AS status, tasks.priority AS priority,
        tasks.version AS version, tasks.created_at AS created_at, tasks.updated_at AS updated_at
    FROM tasks
    WHERE tasks.user_id = %(user_id)s::UUID
      AND tasks.status = %(status)s::VARCHAR
      AND (lower(tasks.title), tasks.id) < (lower(%(after_value)s::VARCHAR), %(after_id)s::UUID)
    ORDER BY lower(tasks.title) DESC, tasks.id DESC
    LIMIT %(limit)s::INTEGER OFFSET %(offset)s::INTEGER
) AS work ON true;

// Written by write_types.py from the service's OpenAPI document: `make openapi`.

export interface AddressRead {
  email: string;
  /** When its owner proved by a link that mail reaches them; null until then. */
  verified_at: string | null;
}

/** A kind of keys that is accepted. */
export interface Algorithm {
  type: "public-key";
  alg: number;
}

/** What `navigator.credentials.get()` returns, by `toJSON()`; more members are ignored. */
export interface Assertion {
  /** In base64url, as all bytes here. */
  id: string;
  /** In base64url, as all bytes here. */
  rawId: string;
  type: "public-key";
  response: AssertionResponse;
}

/** What an authenticator has signed. */
export interface AssertionResponse {
  clientDataJSON: string;
  authenticatorData: string;
  signature: string;
  userHandle?: string;
}

/** What `navigator.credentials.create()` returns, by `toJSON()`; more members are ignored. */
export interface Attestation {
  /** In base64url, as all bytes here. */
  id: string;
  /** In base64url, as all bytes here. */
  rawId: string;
  type: "public-key";
  response: AttestationResponse;
}

/** What an authenticator says of a new key. */
export interface AttestationResponse {
  clientDataJSON: string;
  attestationObject: string;
}

export interface ChangeBody {
  email: string;
  proof: Proof;
}

/** What `PublicKeyCredential.parseCreationOptionsFromJSON()` reads for `navigator.credentials.create()`. */
export interface CreationOptionsRead {
  rp: Party;
  user: KeyOwner;
  challenge: string;
  pubKeyCredParams: Algorithm[];
  timeout: number;
  excludeCredentials: KnownKey[];
  authenticatorSelection: Selection;
  attestation: "none";
}

export interface DeleteBody {
  proof?: Proof;
  current_password?: string;
}

export interface Detail {
  detail: string;
}

export interface EmailBody {
  email: string;
}

export interface FieldError {
  field: string;
  message: string;
  code: string;
}

/** Whose key it will be: the id is the account's, its 16 bytes in base64url. */
export interface KeyOwner {
  id: string;
  name: string;
  displayName: string;
}

/** A public key of Ed25519. */
export interface KeyRead {
  kty: "OKP";
  crv: "Ed25519";
  x: string;
  kid: string;
  use: "sig";
  alg: "EdDSA";
}

/** The keys by which access tokens are verified; the `kid` of a token's header says which. */
export interface KeySetRead {
  keys: KeyRead[];
}

/** A key, by its id. */
export interface KnownKey {
  type: "public-key";
  id: string;
}

export interface LinkBody {
  /** What follows `#token=` in the link. */
  token: string;
}

export interface NameBody {
  name: string | null;
}

/** Who asks for a key. */
export interface Party {
  id: string;
  name: string;
}

export interface PasskeyBody {
  credential: Attestation;
  name?: string | null;
  proof: Proof;
}

export interface PasskeyRead {
  id: string;
  name: string | null;
  created_at: string;
  /** When it signed in or proved last; null until then. */
  last_used_at: string | null;
  /** Whether its owner's other devices have it, too. */
  synced: boolean;
}

export interface PasskeySignInBody {
  credential: Assertion;
  /** What to call this device in the list of sessions; otherwise its User-Agent. */
  device?: string | null;
  /** The last one of this account on this device, used or expired: its session is replaced. */
  refresh_token?: string | null;
}

export interface PasswordBody {
  proof?: Proof;
  current_password?: string;
  /** 8 to 128 characters, counted in Unicode's normal form NFKC. */
  new_password: string;
}

/** An error. `detail` is a sentence for people, `code` a constant for programs. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: string;
  instance: string;
  request_id: string;
  errors?: FieldError[] | null;
}

/** What shows that it is the account's owner who asks, and not somebody at a device that was left open. */
export interface Proof {
  passkey?: Assertion;
  current_password?: string;
}

export interface ProofBody {
  proof: Proof;
}

export interface ProofOptionsBody {
  /** What will be asked for with the proof. */
  for: "password" | "delete" | "email" | "passkey" | "token";
}

export interface RefreshBody {
  /** Required, unless it is in the cookie. */
  refresh_token?: string | null;
}

/** What `PublicKeyCredential.parseRequestOptionsFromJSON()` reads for `navigator.credentials.get()`. */
export interface RequestOptionsRead {
  challenge: string;
  timeout: number;
  rpId: string;
  allowCredentials: KnownKey[];
  userVerification: "required";
}

export interface ResetBody {
  /** What follows `#token=` in the link. */
  token: string;
  /** 8 to 128 characters, counted in Unicode's normal form NFKC. */
  new_password: string;
}

/** A token for a script. It is shown this once. */
export interface ScriptTokenRead {
  id: string;
  name: string;
  scopes: ("tasks:read" | "tasks:write")[];
  expires_at: string;
  token: string;
}

/** What an authenticator must be able to do. */
export interface Selection {
  residentKey: "required";
  requireResidentKey: boolean;
  userVerification: "required";
}

/** A session in which somebody is signed in; `current` is the one that asks. */
export interface SessionRead {
  id: string;
  /** Its name, or a script's. */
  device: string | null;
  created_at: string;
  /** When it began or its tokens were last refreshed, whichever is later. */
  last_used_at: string;
  current: boolean;
  /** `script`: a token that somebody made for one. */
  kind: "person" | "script";
  /** What a script may do. */
  scopes: string[] | null;
  /** When a script's token ends. */
  expires_at: string | null;
}

export interface SignInBody {
  email: string;
  password: string;
  /** What to call this device in the list of sessions; otherwise its User-Agent. */
  device?: string | null;
  /** The last one of this account on this device, used or expired: its session is replaced. */
  refresh_token?: string | null;
}

export interface SignOutBody {
  /** Without it the one in the cookie is taken. */
  refresh_token?: string | null;
  /** End all sessions, this one too. */
  everywhere?: boolean;
  /** End all sessions but this one. */
  others?: boolean;
}

export interface SignUpBody {
  email: string;
  /** 8 to 128 characters, counted in Unicode's normal form NFKC. */
  password: string;
  name?: string | null;
  /** What to call this device in the list of sessions; otherwise its User-Agent. */
  device?: string | null;
}

export interface SignedInRead {
  access_token: string;
  /** Left out where it is in the cookie. */
  refresh_token?: string;
  token_type?: "bearer";
  expires_in: number;
  user: UserRead;
}

/** What has changed: tasks as they are now, ids of those that were deleted, and what to send as `since` next. */
export interface TaskChanges {
  tasks: TaskRead[];
  deleted: string[];
  next: string;
}

/** The state that a task is to have. Without `completed` it gets the other one. */
export interface TaskCompletion {
  completed?: boolean;
}

/** A new task. `completed: true` is another way to say `status: completed`. */
export interface TaskCreate {
  /** 1 to 200 characters, kept as they are; not blank. */
  title: string;
  description?: string | null;
  status?: "pending" | "in_progress" | "completed";
  priority?: "low" | "medium" | "high";
  completed?: boolean;
}

/** A task. `version` grows by one at every change. */
export interface TaskRead {
  id: string;
  user_id: string;
  title: string;
  description: string | null;
  completed: boolean;
  status: "pending" | "in_progress" | "completed";
  priority: "low" | "medium" | "high";
  version: number;
  created_at: string;
  updated_at: string;
}

/** What is to change; what is not sent stays as it is. */
export interface TaskUpdate {
  /** 1 to 200 characters, kept as they are; not blank. */
  title?: string;
  description?: string | null;
  status?: "pending" | "in_progress" | "completed";
  priority?: "low" | "medium" | "high";
  completed?: boolean;
  /** Of a whole task that is sent back: where `completed` contradicts `status`, it must be its. */
  version?: number;
}

export interface TokenBody {
  name: string;
  /** What the script may do. */
  scopes: ("tasks:read" | "tasks:write")[];
  /** How long it may. */
  days: number;
  proof: Proof;
}

/** Two tokens; `expires_in` is the access token's life in seconds. */
export interface TokenRead {
  access_token: string;
  /** Left out where it is in the cookie. */
  refresh_token?: string;
  token_type?: "bearer";
  expires_in: number;
}

export interface UserRead {
  id: string;
  email: string;
  name: string | null;
  created_at: string;
}

/** The operations of accounts and sessions. */
export interface Auth {
  /** Create an account. */
  signUp(body: SignUpBody): Promise<SignedInRead>;
  /** Sign in. */
  signIn(body: SignInBody): Promise<SignedInRead>;
  /** Choose a new password by a link. */
  resetPassword(body: ResetBody): Promise<Detail>;
  /** Forgot my password. */
  mailResetLink(body: EmailBody): Promise<Detail>;
  /** Sign out. */
  signOut(body?: SignOutBody): Promise<Detail>;
  /** List my sessions. */
  listSessions(): Promise<SessionRead[]>;
  /** End a session. */
  endSession(id: string): Promise<null>;
  /** Make a token for a script. */
  createToken(body: TokenBody): Promise<ScriptTokenRead>;
  /** Show my e-mail address. */
  showEmail(): Promise<AddressRead>;
  /** Change my e-mail address. */
  changeEmail(body: ChangeBody): Promise<Detail>;
  /** Confirm my new e-mail address. */
  confirmEmail(body: LinkBody): Promise<AddressRead>;
  /** Ask for a link that proves my e-mail address. */
  mailVerificationLink(): Promise<Detail>;
  /** Prove my e-mail address. */
  verifyEmail(body: LinkBody): Promise<AddressRead>;
  /** Show my account. */
  showMe(): Promise<UserRead>;
  /** Change my name. */
  changeMe(body: NameBody): Promise<UserRead>;
  /** Change my password. */
  changePassword(body: PasswordBody): Promise<TokenRead>;
  /** Delete my account. */
  deleteMe(body: DeleteBody): Promise<Detail>;
}

/** Method and path; `+` begins a session, `*` needs one, `-` ends it. */
export const AUTH = {
  signUp: "POST signup +",
  signIn: "POST signin +",
  resetPassword: "POST reset",
  mailResetLink: "POST reset/mail",
  signOut: "POST signout",
  listSessions: "GET sessions *",
  endSession: "DELETE sessions/{} *",
  createToken: "POST tokens *",
  showEmail: "GET email *",
  changeEmail: "POST email *",
  confirmEmail: "POST email/confirm *",
  mailVerificationLink: "POST email/verify/mail *",
  verifyEmail: "POST email/verify *",
  showMe: "GET me *",
  changeMe: "PATCH me *",
  changePassword: "POST password +*",
  deleteMe: "POST me/delete *-",
} satisfies Record<keyof Auth, string>;

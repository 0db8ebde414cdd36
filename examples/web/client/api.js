// Written by write_types.py from the service's OpenAPI document: `make openapi`.
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
};

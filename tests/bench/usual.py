"""The usual way: FastAPI as its tutorial and its templates do it, over the same tables and the same tokens.

Synchronous SQLModel sessions from a dependency, one query for the user and one for the work, `response_model`, jose and
passlib, uvicorn's own access log. It does less than the service: no rate limits, no request ids, no security headers,
no check whether the session has ended.
"""

import os
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from jose import JWTError, jwt
from passlib.context import CryptContext
from sqlalchemy import Column, DateTime
from sqlmodel import Field, Session, SQLModel, col, create_engine, select

SECRET = os.environ["BETTER_AUTH_SECRET"]
engine = create_engine(os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://"))
passwords = CryptContext(schemes=["bcrypt_sha256"], bcrypt_sha256__rounds=int(os.environ["PASSWORD_HASH_COST"]))
app = FastAPI()


def now() -> datetime:
    return datetime.now(UTC)


class User(SQLModel, table=True):
    __tablename__ = "users"
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    email: str = Field(unique=True)
    name: str | None = None
    password_hash: str
    created_at: datetime = Field(default_factory=now, sa_column=Column(DateTime(timezone=True)))
    updated_at: datetime = Field(default_factory=now, sa_column=Column(DateTime(timezone=True)))


class UserRead(SQLModel):
    id: UUID
    email: str
    name: str | None
    created_at: datetime


class TaskCreate(SQLModel):
    title: str = Field(min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=2000)
    status: str = "pending"
    priority: str = "medium"


class Task(TaskCreate, table=True):
    __tablename__ = "tasks"
    id: UUID = Field(default_factory=uuid4, primary_key=True)
    user_id: UUID = Field(foreign_key="users.id", index=True)
    version: int = 1
    created_at: datetime = Field(default_factory=now, sa_column=Column(DateTime(timezone=True)))
    updated_at: datetime = Field(default_factory=now, sa_column=Column(DateTime(timezone=True)))

    @property
    def completed(self) -> bool:
        return self.status == "completed"


class TaskUpdate(SQLModel):
    title: str | None = Field(default=None, min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=2000)
    status: str | None = None
    priority: str | None = None


class TaskRead(TaskCreate):
    id: UUID
    user_id: UUID
    completed: bool
    version: int
    created_at: datetime
    updated_at: datetime


class DeniedToken(SQLModel, table=True):
    __tablename__ = "token_denylist"
    id: UUID = Field(primary_key=True)
    session_id: UUID
    user_id: UUID
    reason: str
    denied_at: datetime = Field(sa_column=Column(DateTime(timezone=True)))
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True)))


class Credentials(SQLModel):
    email: str
    password: str


class RefreshBody(SQLModel):
    refresh_token: str


class TokenPair(SQLModel):
    access_token: str
    refresh_token: str
    token_type: str = "bearer"


def get_session() -> Generator[Session]:
    with Session(engine) as session:
        yield session


SessionDep = Annotated[Session, Depends(get_session)]
Bearer = Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]


def decode(token: str, kind: str) -> dict[str, Any]:
    try:
        # The seeded refresh tokens name an audience.
        payload = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_aud": False})
    except JWTError as error:
        raise HTTPException(401, "Could not validate credentials") from error
    if payload.get("type") != kind:
        raise HTTPException(401, "Could not validate credentials")
    return payload


def get_current_user(session: SessionDep, bearer: Bearer) -> User:
    payload = decode(bearer.credentials, "access")
    user = session.get(User, UUID(payload["sub"]))
    if not user:
        raise HTTPException(401, "Could not validate credentials")
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]


def make_tokens(user: User) -> TokenPair:
    def make(kind: str, life: timedelta) -> str:
        claims = {"sub": str(user.id), "type": kind, "jti": str(uuid4()), "exp": now() + life}
        return jwt.encode(claims, SECRET, algorithm="HS256")

    return TokenPair(
        access_token=make("access", timedelta(minutes=15)), refresh_token=make("refresh", timedelta(days=7))
    )


@app.post("/api/auth/signin")
def sign_in(body: Credentials, session: SessionDep) -> TokenPair:
    user = session.exec(select(User).where(User.email == body.email)).first()
    if not user or not passwords.verify(body.password, user.password_hash):
        raise HTTPException(401, "Incorrect email or password")
    return make_tokens(user)


@app.post("/api/auth/refresh")
def refresh(body: RefreshBody, session: SessionDep) -> TokenPair:
    payload = decode(body.refresh_token, "refresh")
    if session.get(DeniedToken, UUID(payload["jti"])):
        raise HTTPException(401, "Token has been used")
    user = session.get(User, UUID(payload["sub"]))
    if not user:
        raise HTTPException(401, "Could not validate credentials")
    denied = DeniedToken(
        id=UUID(payload["jti"]),
        session_id=UUID(payload["jti"]),
        user_id=user.id,
        reason="used",
        denied_at=now(),
        expires_at=datetime.fromtimestamp(payload["exp"], UTC),
    )
    session.add(denied)
    session.commit()
    session.refresh(user)
    return make_tokens(user)


@app.get("/api/auth/me", response_model=UserRead)
def read_me(user: CurrentUser) -> Any:
    return user


@app.get("/api/tasks", response_model=list[TaskRead])
def list_tasks(session: SessionDep, user: CurrentUser, limit: int | None = None, offset: int = 0) -> Any:
    tasks = select(Task).where(Task.user_id == user.id).order_by(col(Task.created_at).desc())
    return session.exec(tasks.offset(offset).limit(limit)).all()


@app.get("/api/tasks/{task_id}", response_model=TaskRead)
def get_task(task_id: UUID, session: SessionDep, user: CurrentUser) -> Any:
    task = session.get(Task, task_id)
    if not task or task.user_id != user.id:
        raise HTTPException(404, "Task not found")
    return task


@app.patch("/api/tasks/{task_id}", response_model=TaskRead)
def update_task(task_id: UUID, body: TaskUpdate, session: SessionDep, user: CurrentUser) -> Any:
    task = get_task(task_id, session, user)
    task.sqlmodel_update(body.model_dump(exclude_unset=True) | {"updated_at": now(), "version": task.version + 1})
    session.add(task)
    session.commit()
    session.refresh(task)
    return task


@app.post("/api/tasks", status_code=201, response_model=TaskRead)
def create_task(body: TaskCreate, session: SessionDep, user: CurrentUser) -> Any:
    task = Task.model_validate(body, update={"user_id": user.id})
    session.add(task)
    session.commit()
    session.refresh(task)
    return task

// The part of React that `react.ts` needs: its types are not needed to build this package.
declare module "react" {
  export function useSyncExternalStore<T>(
    subscribe: (listener: () => void) => () => void,
    snapshot: () => T,
    serverSnapshot?: () => T,
  ): T;
  export function useMemo<T>(make: () => T, inputs: unknown[]): T;
}

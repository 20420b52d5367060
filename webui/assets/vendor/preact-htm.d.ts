// Types of what the pages use of preact-htm.js, see README.md.

export type Child = any;
export function html(strings: TemplateStringsArray, ...values: any[]): Child;
export function render(child: Child, into: Element): void;
export function useState<T>(initial: T | (() => T)): [T, (next: T | ((before: T) => T)) => void];
export function useEffect(effect: () => void | (() => void), inputs?: any[]): void;
export function useRef<T>(initial: T): {current: T};
export function useCallback<T extends (...args: any[]) => any>(callback: T, inputs: any[]): T;

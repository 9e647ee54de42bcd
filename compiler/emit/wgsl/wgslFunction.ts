/** One WGSL function as text, and the functions that it calls itself. */
export interface WgslFunction {
  readonly needs: readonly string[];
  readonly source: string;
}

export const define = (needs: readonly string[], source: string): WgslFunction =>
  ({ needs, source: source.trim() });

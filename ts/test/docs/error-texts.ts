// SPDX-License-Identifier: AGPL-3.0-or-later
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

/** One error text of the code; what is put in at run time is `…`. */
export interface ErrorText {
  /** Undefined where it is only known at run time, and for Perl. */
  readonly code: string | undefined;
  readonly text: string;
  readonly file: string;
}

/** Stands for what a message gets at run time. */
const hole = "…";

/** Every error text of the TypeScript, Rust and Perl that is installed. */
export function errorTexts(): ErrorText[] {
  return [
    ...filesBelow("ts/src", ".ts").flatMap(ofTypeScript),
    ...filesBelow("crates/blockio/src", ".rs").flatMap(ofRust),
    ...filesBelow("perl/lib", ".pm").flatMap(ofPerl),
  ].map((one) => ({ ...one, text: tidy(one.text) }));
}

function filesBelow(dir: string, ending: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function tidy(text: string): string {
  return text
    .replace(/\s+/g, " ")
    .replace(/(?:…\s?)+…/g, hole)
    .trim();
}

/** The functions and classes that make errors, with the place of code and text among their arguments. */
const makers: Readonly<Record<string, readonly [code: number | undefined, text: number]>> = {
  fail: [0, 1],
  BlockioError: [0, 1],
  LostReply: [0, 1],
  JovianError: [0, 1],
  ArrayError: [0, 1],
  LinstorError: [0, 1],
  // The transports' own: what came instead of an answer.
  unknown: [0, 1],
  Unreadable: [undefined, 0],
  unreachable: [undefined, 1],
};

function ofTypeScript(file: string): ErrorText[] {
  const source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest, true);
  const found: ErrorText[] = [];
  const constants = new Map<string, ts.Expression>();
  const visit = (node: ts.Node): void => {
    if (ts.isVariableDeclaration(node) && ts.isIdentifier(node.name) && node.initializer)
      constants.set(node.name.text, node.initializer);
    if (ts.isCallExpression(node) || ts.isNewExpression(node)) {
      const maker = makers[node.expression.getText(source)];
      const [code, text] = maker ?? [];
      const message = text === undefined ? undefined : node.arguments?.[text];
      const said = code === undefined ? undefined : node.arguments?.[code];
      if (message) {
        for (const one of variants(message, constants))
          if (/[a-z]{3}/.test(one.replaceAll(hole, "")))
            found.push({ code: said && ts.isStringLiteral(said) ? said.text : undefined, text: one, file });
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** What an expression may be as a text: both branches of a condition, parts that are put together. */
function variants(node: ts.Expression, constants: ReadonlyMap<string, ts.Expression>): string[] {
  const parts = (one: ts.Expression) => variants(one, constants);
  if (ts.isIdentifier(node)) {
    const value = constants.get(node.text);
    return value && !ts.isIdentifier(value) ? parts(value) : [hole];
  }
  if (ts.isStringLiteral(node) || ts.isNoSubstitutionTemplateLiteral(node)) return [node.text];
  if (ts.isParenthesizedExpression(node)) return parts(node.expression);
  if (ts.isConditionalExpression(node)) return [...parts(node.whenTrue), ...parts(node.whenFalse)];
  if (ts.isTemplateExpression(node))
    return [node.head.text + node.templateSpans.map((span) => hole + span.literal.text).join("")];
  if (ts.isBinaryExpression(node) && node.operatorToken.kind === ts.SyntaxKind.PlusToken)
    return parts(node.left).flatMap((left) => parts(node.right).map((right) => left + right));
  // The transports put operation and next step around the problem.
  if (ts.isCallExpression(node) && node.expression.getText() === "text" && node.arguments[0])
    return parts(node.arguments[0]).map((problem) => `${hole}: ${problem}; ${hole}`);
  return [hole];
}

/** `Error::invalid(format!("…"))` and the like, and `Error::new(ErrorKind::Busy, …)`; the tests at the end of a file are left out. */
function ofRust(file: string): ErrorText[] {
  const [text = ""] = readFileSync(file, "utf8").split(/^#\[cfg\(test\)\]/m);
  const plain = text.replaceAll(/^\s*\/\/.*$/gm, "");
  const pattern =
    /\b(?:Error::|Self::)(?:new\(\s*ErrorKind::(\w+),\s*|(invalid|absent|exists|busy|refused|unreachable|no_space|timeout|unsupported|internal)\(\s*)(?:format!\(\s*)?"((?:[^"\\]|\\[\s\S])*)"/g;
  const shown = (message: string) =>
    message
      .replaceAll(/\\\n\s*/g, "")
      .replaceAll(/\{[^}]*\}/g, hole)
      .replaceAll('\\"', '"');
  const direct = [...plain.matchAll(pattern)].map(([, named, called, message = ""]) => ({
    code: (named?.replaceAll(/(?<=[a-z])(?=[A-Z])/g, "-") ?? called?.replace("_", "-"))?.toLowerCase(),
    text: shown(message),
    file,
  }));
  // Those that get a name before they are used.
  const named = [...plain.matchAll(/\blet (?:message|why|text) =\s*format!\(\s*"((?:[^"\\]|\\[\s\S])*)"/g)];
  return [...direct, ...named.map(([, message = ""]) => ({ code: undefined, text: shown(message), file }))];
}

/** `die "…"`, with what is put in by name. */
function ofPerl(file: string): ErrorText[] {
  const [code = ""] = readFileSync(file, "utf8").split(/^__END__$/m);
  const pattern = /\b(?:die|croak)\s+(?:\(\s*)?("(?:[^"\\]|\\.)*"(?:\s*\.\s*"(?:[^"\\]|\\.)*")*|'[^'\n]*')/g;
  return [...code.matchAll(pattern)].map(([, literal = ""]) => ({
    code: undefined,
    text: literal
      .replaceAll(/"\s*\.\s*"/g, "")
      .slice(1, -1)
      .replaceAll(/@?\{?\$[A-Za-z_]\w*(?:->)?(?:\{[^}]*\}|\[[^\]]*\])*\}?/g, hole)
      .replaceAll("\\n", ""),
    file,
  }));
}
